// How a resource does, where it is used, and how it goes away.
import { html, useState } from '../core/html.js';
import { api, path as url } from '../core/http.js';
import { words } from '../core/format.js';
import { link, navigate } from '../core/router.js';
import { ConfirmDialog, Facts, Notice, Plan, Status, Time } from '../ui/index.js';
import { Doing } from './resources_rights.js';

const KIND_OF_STATUS = { active: 'good', provisioning: 'warn', updating: 'warn', deleting: 'warn', init: 'off' };

/** The status of a resource: the cloud's word, and what it waits for. */
export const ResourceStatus = ({ resource }) => html`<${Status} kind=${KIND_OF_STATUS[resource.status]}
  title=${resource.status_reason}>${words(resource.status)}<//>`;

export function Standing({ kind, resource }) {
  if (!resource) return null;
  return html`
    <${Facts} facts=${[
      ['Status', html`<${ResourceStatus} resource=${resource} />${resource.status_reason && html` ${resource.status_reason}`}`],
      ['Made', html`<${Time} at=${resource.created_at} />`],
      ['Changed', html`<${Time} at=${resource.updated_at} />`],
      ['See also', html`<${Elsewhere} kind=${kind} resource=${resource} />`],
    ]} />
    ${resource.warnings.map((warning) => html`<${Notice} key=${warning} kind="warn"><p>${warning}</p><//>`)}`;
}

function Elsewhere({ kind, resource }) {
  if (kind.key === 'vpn_connections') return html`<a href=${link('/connections/:name', {}, resource)}>Connection</a>`;
  if (kind.key === 'vpn_gateways') return html`<a href=${link('/routes', { gateway: resource.name })}>Routes</a>`;
  return html`<a href="#/">Topology</a>`;
}

/** The button that deletes, with what will happen and, if it is refused, who uses it. */
export function Deletion({ kind, resource, etag, why, onLeave }) {
  const [asking, setAsking] = useState(null);
  const send = (options) => api.delete(url`/v1/${kind.path}/${resource.name}`, undefined, { etag, ...options });
  const ask = async () => {
    setAsking({ plan: null });
    try {
      const { data } = await send({ dryRun: true });
      setAsking({ plan: data.plan });
    } catch (error) {
      setAsking({ plan: null, error });
    }
  };
  const gone = () => { onLeave(); navigate(`/resources/${kind.path}`); };
  return html`
    <${Doing} why=${why} onClick=${ask}>Delete…<//>
    ${asking && html`<${ConfirmDialog} title=${`Delete ${kind.label} ${resource.name}?`} danger plan=${asking.plan && html`<${Plan} plan=${asking.plan} />`}
      error=${asking.error} confirm=${{ label: 'Delete', run: () => send({}) }} done=${`${kind.label} ${resource.name} is deleted`}
      onDone=${gone} onClose=${() => setAsking(null)}>
      <${Users} problem=${asking.error} />
    <//>`}`;
}

/** `VPN connection conn1`: what has to go, or to change, first. */
const Users = ({ problem }) => (problem?.users?.length > 0 ? html`<div>
  <p>It is used, and cannot be deleted before these are changed or deleted:</p>
  <ul>${problem.users.map((user) => html`<li key=${user}>${linked(user)}</li>`)}</ul>
</div>` : null);

const PATHS = {
  VPC: 'vpcs', 'VPN gateway': 'vpn-gateways', 'customer gateway': 'customer-gateways', 'VPN connection': 'vpn-connections',
  'routing policy': 'routing-policies', 'destination-based route': 'destination-routes', 'policy-based route': 'policy-routes',
  'custom VPC route': 'vpc-routes',
};

function linked(user) {
  const [, label, name] = /^(.*) (\S+)$/.exec(user) ?? [];
  return PATHS[label] ? html`<a href=${`#/resources/${PATHS[label]}/${encodeURIComponent(name)}`}>${user}</a>` : user;
}
