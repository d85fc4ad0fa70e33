import { html } from '../core/html.js';

/** While the daemon does not answer at all. */
export const Away = ({ reason }) => html`<main class="gate"><div class="gate-box">
  <h1>bgpsvc is away</h1>
  <p role="status">${reason}. This page comes back by itself when it answers again.</p>
  <p class="hint">Forwarding does not depend on it: tunnels, sessions and routes stay as they are. On the gateway, <code>bgpsvc doctor</code> and the service's log say more.</p>
</div></main>`;
