// A tunnel as a picture: our address, the tunnel with its layers, the peer. Its style is in style/lane.css.
import { html } from '../core/html.js';
import { link } from '../core/router.js';
import { detection, layers, stateKind, trouble } from '../core/tunnels.js';
import { Role, Status } from './status.js';

/**
 * `tunnel`: of the API; `address`: our public address; `customer`: the customer gateway (a resource) or null;
 * `plain`: without a link to the tunnel's page (on that page itself).
 */
export function Lane({ tunnel, address, customer, plain }) {
  const why = trouble(tunnel);
  const kind = tunnel.carrying ? 'carrying' : tunnel.state;
  return html`<div class=${`lane lane-${kind}`} data-tunnel=${tunnel.id} data-state=${tunnel.state} data-carrying=${String(tunnel.carrying)}>
    <${End} side="near" title="Our side" address=${address} inside=${tunnel.local_address} />
    <div class="lane-pipe">
      <div class="lane-head">
        <span class="lane-name">${plain ? tunnel.id : html`<a href=${link('/tunnels/:id', {}, { id: tunnel.id })}>${tunnel.id}</a>`}</span>
        <${Role} role=${tunnel.role} />
        <${Status} kind=${stateKind(tunnel)} title=${tunnel.state_reason}>${tunnel.state}<//>
        ${tunnel.carrying && html`<span class="lane-traffic"><${Arrows} />carries traffic</span>`}
      </div>
      <ul class="lane-layers" aria-label="Layers">
        ${layers(tunnel).map((layer) => html`<li key=${layer.name}><span class="lane-layer">${layer.name}</span>
          <${Status} kind=${layer.kind} title=${layer.reason}>${layer.word}<//></li>`)}
      </ul>
      ${why ? html`<p class="lane-why">${why}</p>` : html`<p class="lane-detection">${detection(tunnel).text}</p>`}
    </div>
    <${End} side="far" title=${customer?.name ?? 'Peer'} asn=${customer?.config.asn} address=${tunnel.remote_address}
      inside=${tunnel.peer_address} />
  </div>`;
}

const End = ({ side, title, asn, address, inside }) => html`<div class=${`lane-end lane-${side}`}>
  <strong>${title}</strong>
  ${asn && html`<span class="muted">AS ${asn}</span>`}
  <span class="mono">${address ?? '–'}</span>
  ${inside && html`<span class="mono muted" title="Inside the tunnel">${inside}</span>`}
</div>`;

const Arrows = () => html`<svg viewBox="0 0 16 12" width="16" height="12" aria-hidden="true"><path d="M1 4h12M10 1l3 3-3 3M15 9H3" /></svg>`;
