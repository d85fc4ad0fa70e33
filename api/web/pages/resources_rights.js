// Who may do what here, and if not, why: buttons that cannot be used say so.
import { html } from '../core/html.js';
import { can } from '../core/session.js';
import { Notice } from '../ui/index.js';

/** Why `actor` cannot do what needs `scope`; null if they can. `resources`: it changes resources. */
export function whyNot(actor, scope, { resources = false } = {}) {
  if (!actor) return 'you are not signed in';
  if (resources && actor.read_only) return `${actor.read_only_reason}, and are changed there`;
  return can(scope, actor) ? null : `it needs the scope ${scope}, and yours is ${actor.scope}`;
}

/** A button that says why it cannot be used. */
export const Doing = ({ why, children, ...rest }) => html`<button type="button" ...${rest} disabled=${Boolean(why) || rest.disabled}
  title=${why ?? rest.title} aria-description=${why ?? undefined}>${children}</button>`;

/** Said above a page on which nothing can be changed. */
export const Cannot = ({ why }) => (why ? html`<${Notice}><p>Nothing can be changed here: ${why}.</p><//>` : null);
