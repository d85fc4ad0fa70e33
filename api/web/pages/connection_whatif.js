// What would happen if: the gateway's simulation, asked beside the switch.
import { html, useState } from '../core/html.js';
import { api, path as url } from '../core/http.js';
import { plural } from '../core/format.js';
import { ProblemNotice, Spinner, Table } from '../ui/index.js';
import { useDryRun } from './connection_ask.js';
import { PrefixLink } from './routes_rows.js';

const SAMPLES = 10;
const prefixes = (n) => plural(n, 'prefix', 'prefixes');

/** Both tunnels, and all at once: what would be lost. */
export function WhatIf({ connection }) {
  const [asked, setAsked] = useState(null);
  const ids = connection.tunnels.map((tunnel) => tunnel.id);
  const questions = [...ids.map((id, i) => [`tunnel ${i + 1}`, [id]]), ...(ids.length > 1 ? [['both tunnels', ids]] : [])];
  return html`<section class="conn-panel">
    <h2>What would happen if it failed?</h2>
    <p class="hint">Worked out from the routes as they are now; nothing is changed.</p>
    <p class="actions">${questions.map(([label, tunnels]) => html`<button type="button" key=${label} class="small"
      aria-pressed=${asked?.label === label} onClick=${() => setAsked({ label, tunnels })}>If ${label} failed</button>`)}</p>
    ${asked && html`<${Fates} key=${asked.label} gateway=${connection.gateway} question=${{ fail_tunnels: asked.tunnels }} />`}
  </section>`;
}

/** The answer to a question of `simulate`, in words and with some prefixes. */
export function Fates({ gateway, question }) {
  const { data, error } = useDryRun(() => api.post(url`/v1/vpn-gateways/${gateway}/simulate`, { ...question, samples: SAMPLES })
    .then((answer) => answer.data), JSON.stringify([gateway, question]));
  if (error) return html`<${ProblemNotice} problem=${error} />`;
  if (!data) return html`<${Spinner} label="Working it out" />`;
  return html`<div class="conn-fates" role="status"><ul>${sentences(data).map((text) => html`<li key=${text}>${text}</li>`)}</ul>
    <${Samples} gateway=${gateway} data=${data} /></div>`;
}

function sentences(data) {
  const said = [
    data.lost.count > 0 && `${prefixes(data.lost.count)} would be lost.`,
    data.moved.count > 0 && `${prefixes(data.moved.count)} would move to another tunnel.`,
    data.gained.count > 0 && `${prefixes(data.gained.count)} would come into the route table.`,
    data.unchanged > 0 && `${prefixes(data.unchanged)} would stay as they are.`,
    ...Object.entries(data.advertised_gained).map(([session, n]) => `The peer of ${session} would hear ${prefixes(n)} more.`),
    ...Object.entries(data.advertised_lost).map(([session, n]) => `The peer of ${session} would hear ${prefixes(n)} less.`),
    ...data.notes.map((note) => `${note[0].toUpperCase()}${note.slice(1)}.`),
  ].filter(Boolean);
  return said.length ? said : ['Nothing would change.'];
}

function Samples({ gateway, data }) {
  const rows = ['lost', 'moved', 'gained'].flatMap((fate) => data[fate].samples.map((one) => ({ fate, ...one })));
  if (rows.length === 0) return null;
  const columns = [
    {
      key: 'prefix', label: 'Prefix',
      render: ({ prefix }) => html`<${PrefixLink} gateway=${gateway} prefix=${prefix} />`,
    },
    { key: 'fate', label: 'Would be' },
    { key: 'from_session', label: 'Now over' },
    { key: 'to_session', label: 'Then over' },
    { key: 'reason', label: 'Why', narrow: 'hide' },
  ];
  return html`<${Table} caption="The first of them" columns=${columns} rows=${rows} rowKey=${({ fate, prefix }) => fate + prefix} />`;
}
