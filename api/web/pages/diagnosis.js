// Why a connection does not work: its tunnels layer by layer, with evidence and remedy.
import { html, useEffect, useRef, useState } from '../core/html.js';
import { api, path } from '../core/http.js';
import { count, duration } from '../core/format.js';
import { link } from '../core/router.js';
import { can, useActor } from '../core/session.js';
import { announce, CopyButton, Notice, Page, ProblemNotice, Role, Spinner, Status, Time } from '../ui/index.js';
import { asText, compared, LAYERS, OUTCOMES } from './diagnosis-text.js';

const CHOICES = [[null, 'Both tunnels'], ['1', 'Tunnel 1'], ['2', 'Tunnel 2']];

/** The last diagnosis, and a way to run another one; the one before stays in sight meanwhile. */
function useDiagnosis(name, tunnel, allowed) {
  const [shown, setShown] = useState({ found: null, problem: null, busy: allowed });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!allowed) return undefined;
    const control = new AbortController();
    setShown((was) => ({ ...was, busy: true }));
    const body = tunnel === null ? {} : { tunnel: Number(tunnel) };
    api.post(path`/v1/vpn-connections/${name}/diagnose`, body, { signal: control.signal }).then(
      ({ data }) => {
        setShown({ found: data, problem: null, busy: false });
        announce(data.summary);
      },
      (problem) => !control.signal.aborted && setShown({ found: null, problem, busy: false }),
    );
    return () => control.abort();
  }, [name, tunnel, allowed, turn]);
  return { ...shown, again: () => setTurn(turn + 1) };
}

export default function Diagnosis({ params: { name }, query }) {
  const actor = useActor();
  const allowed = can('operate', actor);
  const tunnel = query.tunnel === '1' || query.tunnel === '2' ? query.tunnel : null;
  const { found, problem, busy, again } = useDiagnosis(name, tunnel, allowed);
  const actions = allowed && html`<button type="button" class="primary" disabled=${busy} onClick=${again}>
    ${busy ? 'Running…' : 'Run again'}</button>`;
  return html`<${Page} title=${`Diagnosis of ${name}`} actions=${actions}
    parent=${{ href: link('/connections/:name', {}, { name }), label: `Connection ${name}` }}
    lead="Walks the layers of each tunnel from below. It sends probes and takes some seconds; it changes nothing.">
    ${!allowed && html`<${Notice} kind="warn" title="Your token may only read"><p>A diagnosis sends probes: it needs the scope
      <code>operate</code>.</p><//>`}
    ${allowed && html`<${Choice} name=${name} tunnel=${tunnel} />`}
    <${ProblemNotice} problem=${problem} onRetry=${again} />
    <div class="diagnosis" aria-busy=${busy ? 'true' : 'false'}>
      ${busy && !found && html`<${Spinner} label="Examining the layers" />`}
      ${found && html`<${Found} found=${found} />`}
    </div>
  <//>`;
}

const Choice = ({ name, tunnel }) => html`<nav class="choice" aria-label="Tunnels"><ul>
  ${CHOICES.map(([number, label]) => html`<li key=${label}>
    <a href=${link('/connections/:name/diagnosis', { tunnel: number }, { name })} aria-current=${number === tunnel ? 'page' : undefined}>${label}</a>
  </li>`)}
</ul></nav>`;

function Found({ found }) {
  const faults = found.tunnels.filter((tunnel) => tunnel.fault);
  const warned = found.tunnels.some((tunnel) => tunnel.checks.some((check) => check.outcome === 'warning'));
  const kind = faults.length ? 'bad' : warned ? 'warn' : 'good';
  return html`
    <${Notice} kind=${kind} title=${sentence(found.summary)}>
      <p class="muted">Examined <${Time} at=${found.time} />, took ${duration(found.seconds * 1000)}.</p>
      <${CopyButton} text=${asText(found)} label="Copy as text" />
    <//>
    ${found.tunnels.map((tunnel) => html`<${Tunnel} key=${`${tunnel.tunnel} ${found.time}`} tunnel=${tunnel} />`)}`;
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function Tunnel({ tunnel }) {
  const { checks, fault } = tunnel;
  const said = fault ? ['bad', `fails at ${LAYERS[fault.layer]}`] : checks.some(({ outcome }) => outcome === 'warning')
    ? ['warn', 'works, with a warning'] : ['good', 'no fault found'];
  return html`<section class="diagnosis-tunnel" aria-labelledby=${`of-${tunnel.tunnel}`}>
    <h2 id=${`of-${tunnel.tunnel}`}><a href=${link('/tunnels/:id', {}, { id: tunnel.tunnel })}>${tunnel.tunnel}</a>
      <${Role} role=${tunnel.role} /> <${Status} kind=${said[0]}>${said[1]}<//></h2>
    <ol class="layers">${checks.map((check) => html`<${Layer} key=${check.layer} check=${check} first=${check.layer === fault?.layer} />`)}</ol>
  </section>`;
}

/** What failed or is odd is open from the start; the rest opens for who doubts it. */
function Layer({ check, first }) {
  const [kind, word] = OUTCOMES[check.outcome];
  const head = html`<span class="layer-name">${LAYERS[check.layer]}</span> <${Status} kind=${kind}>${word}<//>
    <span class="layer-summary">${check.summary}</span>`;
  const item = useRef();
  useEffect(() => { if (first) item.current.scrollIntoView({ block: 'nearest' }); }, [first]);
  const odd = ['failed', 'warning', 'unknown'].includes(check.outcome);
  return html`<li ref=${item} class=${`layer layer-${check.outcome}`}>
    ${check.evidence.length === 0 && !check.remedy
      ? html`<div class="layer-head">${head}</div>`
      : html`<details open=${odd}><summary class="layer-head">${head}${check.evidence.length > 0 && html`<span class="layer-count muted">
            ${count(check.evidence.length)} ${check.evidence.length === 1 ? 'fact' : 'facts'}</span>`}</summary>
          <div class="layer-body">
            ${check.remedy && html`<p class="layer-remedy"><strong>What to do:</strong> ${check.remedy}</p>`}
            ${check.evidence.length > 0 && html`<${Evidence} check=${check} />`}
            ${odd && html`<p class="muted"><small>Code <code>${check.code}</code></small></p>`}
          </div></details>`}
  </li>`;
}

function Evidence({ check }) {
  const both = check.evidence.some(compared);
  return html`<table class="evidence"><caption class="visually-hidden">Evidence of ${LAYERS[check.layer]}</caption>
    <thead class=${both ? '' : 'visually-hidden'}><tr><th scope="col">Seen</th><th scope="col">Here</th>${both && html`<th scope="col">There</th>`}</tr></thead>
    <tbody>${check.evidence.map((fact) => html`<tr>
      <th scope="row">${fact.label}${fact.value !== null && compared(fact) ? html` <span class="muted">${fact.value}</span>` : ''}</th>
      ${compared(fact)
        ? html`<td>${fact.local ?? '–'}</td><td>${fact.remote ?? '–'}</td>`
        : html`<td colspan=${both ? 2 : 1}>${fact.value}</td>`}
    </tr>`)}</tbody>
  </table>`;
}
