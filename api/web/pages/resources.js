// All resources by kind: what there is, how it does, and the way to make more.
import { html, useState } from '../core/html.js';
import { all } from '../core/http.js';
import { count, plural } from '../core/format.js';
import { useActor } from '../core/session.js';
import { useLive } from '../core/live.js';
import { Empty, Loaded, Page, Status, Table } from '../ui/index.js';
import { KINDS, editorOf, kindOf } from './resources_kinds.js';
import { Cannot, whyNot } from './resources_rights.js';
import { ResourceStatus } from './resources_standing.js';

const SHOWN = 200;

/** `#/resources` and `#/resources/KIND`. */
export default function Resources({ params }) {
  const kind = kindOf(params.kind ?? 'vpcs');
  const why = whyNot(useActor(), 'admin', { resources: true });
  const action = kind && (why
    ? html`<button type="button" disabled title=${why} aria-description=${why}>New ${kind.label}</button>`
    : html`<a class="button primary" href=${`#/resources/${kind.path}/new`}>New ${kind.label}</a>`);
  return html`<${Page} title=${kind ? kind.plural : 'No such kind'} lead=${kind?.what} actions=${action}>
    <nav class="kinds" aria-label="Kinds of resources"><ul>${KINDS.map((one) => html`<li key=${one.key}>
      <a href=${`#/resources/${one.path}`} aria-current=${one === kind ? 'page' : undefined}>${one.plural}</a></li>`)}</ul></nav>
    <${Cannot} why=${why} />
    ${kind && html`<${List} key=${kind.key} kind=${kind} why=${why} />`}
  <//>`;
}

function List({ kind, why }) {
  const live = useLive((signal) => all(`/v1/${kind.path}`, {}, { signal }), { key: kind.key, every: 10_000 });
  const [wanted, setWanted] = useState('');
  return html`<${Loaded} live=${live}>${(resources) => (resources.length === 0
    ? html`<${None} kind=${kind} why=${why} />`
    : html`<${Rows} kind=${kind} resources=${resources} wanted=${wanted} onWanted=${setWanted} />`)}<//>`;
}

const STEPS = ['vpcs', 'vpn_gateways', 'customer_gateways', 'vpn_connections'].map(kindOf);

const None = ({ kind, why }) => html`<${Empty} title=${`There is no ${kind.label} yet`}
  action=${!why && html`<a class="button primary" href=${`#/resources/${kind.path}/new`}>New ${kind.label}</a>`}>
  <p>${kind.what}</p>
  <p class="muted">What a connection needs, in this order: ${STEPS.map((step, i) => html`${i > 0 && ', '}<a href=${`#/resources/${step.path}`}>${step.label}</a>`)}.</p>
<//>`;

function Rows({ kind, resources, wanted, onWanted }) {
  const text = wanted.trim().toLowerCase();
  const found = resources.filter((one) => !text || JSON.stringify(one.config).toLowerCase().includes(text));
  const columns = [
    { key: 'name', label: 'Name', render: (one) => html`<a href=${editorOf(kind, one.name)}>${one.name}</a>` },
    ...kind.columns.map(([label, of]) => ({ key: label, label, render: (one) => of(one.config) })),
    { key: 'status', label: 'Status', render: (one) => html`<${ResourceStatus} resource=${one} />` },
    {
      key: 'warnings', label: 'Warnings', narrow: 'hide',
      render: (one) => (one.warnings.length ? html`<${Status} kind="warn" title=${one.warnings.join('; ')}>${count(one.warnings.length)}<//>` : '–'),
    },
  ];
  const caption = found.length > SHOWN
    ? `The first ${SHOWN} of ${plural(found.length, kind.label, kind.plural)}` : plural(found.length, kind.label, kind.plural);
  return html`
    ${resources.length > 10 && html`<label class="resources-filter">Filter <input type="search" value=${wanted}
      onInput=${(event) => onWanted(event.target.value)} /></label>`}
    <${Table} caption=${caption} columns=${columns} rows=${found.slice(0, SHOWN)} rowKey=${(one) => one.name} empty="None fits" />`;
}
