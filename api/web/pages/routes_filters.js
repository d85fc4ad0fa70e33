// What is searched for: one field of free text, a few choices, and the filters that a link brought along.
import { html, useEffect, useRef, useState } from '../core/html.js';
import { all } from '../core/http.js';
import { useLive } from '../core/live.js';

const PAUSE = 150;
const STATES = [['installed', 'Installed'], ['pending', 'Pending'], ['not_installed', 'Not installed'], ['failed', 'Refused by the kernel']];
/** Filters of a link that have no control of their own: the name, and how it is said. */
const CHIPS = {
  prefix: (value, { match }) => `${{ longer: 'inside', covering: 'containing', best: 'longest match of' }[match] ?? 'prefix'} ${value}`,
  asn: (value) => `AS ${value} in the path`,
  community: (value) => `community ${value}`,
};

/** `go(changes, options)` goes to the same list with other filters; `problem`: a 422. */
export function Filters({ gateways, gateway, view, query, go, problem }) {
  const chips = Object.keys(CHIPS).filter((name) => query[name]);
  const elsewhere = problem?.errors.filter(({ pointer }) => pointer !== '#/q') ?? [];
  return html`<form class="routes-filters" role="search" aria-label="Routes" onSubmit=${(event) => event.preventDefault()}>
    <${Search} value=${query.q ?? ''} onChange=${(q) => go({ q }, { replace: true })}
      error=${problem?.errors.find(({ pointer }) => pointer === '#/q')?.detail} />
    <div class="routes-choices">
      ${gateways.length > 1 && html`<${Choice} label="Gateway" value=${gateway.name} options=${gateways.map(({ name }) => [name, name])}
        onChoose=${(name) => go({ gateway: name, session: undefined })} />`}
      ${view === 'learned' && html`<${Choice} label="State" any="any" value=${query.state} options=${STATES} onChoose=${(state) => go({ state })} />`}
      <${Sessions} gateway=${gateway} value=${query.session} onChoose=${(session) => go({ session })} />
      <${Choice} label="Family" any="both" value=${query.family} options=${[['ipv4', 'IPv4'], ['ipv6', 'IPv6']]} onChoose=${(family) => go({ family })} />
      ${chips.map((name) => html`<span class="chip" key=${name}>${CHIPS[name](query[name], query)}
        <button type="button" class="quiet small" aria-label=${`Without ${CHIPS[name](query[name], query)}`}
          onClick=${() => go({ [name]: undefined, ...(name === 'prefix' && { match: undefined }) })}>✕</button></span>`)}
    </div>
    ${elsewhere.length > 0 && html`<ul class="error" role="alert">${elsewhere.map(({ pointer, detail }) => html`<li key=${pointer}>${detail}</li>`)}</ul>`}
  </form>`;
}

/** Searches while somebody writes, after a pause. */
function Search({ value, onChange, error }) {
  const [text, setText] = useState(value);
  const timer = useRef();
  const asked = useRef(value);
  const latest = useRef(onChange);
  latest.current = onChange;
  // Another link, or the way back: the URL says what is searched for.
  useEffect(() => {
    if (value !== asked.current) setText(value);
    asked.current = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const ask = (next, pause) => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => { asked.current = next.trim(); latest.current(next.trim()); }, pause);
  };
  return html`<div class=${`field ${error ? 'field-bad' : ''}`}>
    <label for="routes-q">Search</label>
    <input id="routes-q" type="search" value=${text} autocomplete="off" autocapitalize="off" spellcheck=${false} maxlength="256"
      placeholder="192.168.0.0/16, 10.1.2.3, AS65500, 65500:100 …" aria-describedby="routes-q-hint" aria-invalid=${error ? 'true' : undefined}
      onInput=${(event) => ask(event.target.value, PAUSE)} onKeyDown=${(event) => onKey(event, ask)} />
    ${error ? html`<p class="error" id="routes-q-hint" role="alert">${error}</p>`
      : html`<p class="hint" id="routes-q-hint">A prefix finds all inside it, an address all that contain it; an AS number, a community or a session,
        what has it. Several words: all of them.${' '}<span class="wide-only"><kbd>/</kbd> comes here, <kbd>↓</kbd> goes to the rows.</span></p>`}
  </div>`;
}

function onKey(event, ask) {
  if (event.key === 'Enter') ask(event.target.value, 0);
  if (event.key !== 'ArrowDown') return;
  const first = document.querySelector('.routes tbody a');
  if (!first) return;
  event.preventDefault();
  first.focus();
}

/** A choice; `any`: what no choice is called. */
function Choice({ label, value, options, any, onChoose }) {
  const known = options.some(([one]) => one === value);
  return html`<label>${label} <select value=${value ?? ''} onInput=${(event) => onChoose(event.target.value || undefined)}>
    ${any && html`<option value="" selected=${!value}>${any}</option>`}
    ${options.map(([one, name]) => html`<option key=${one} value=${one} selected=${one === value}>${name}</option>`)}
    ${value && !known && html`<option value=${value} selected>${value}</option>`}
  </select></label>`;
}

function Sessions({ gateway, value, onChoose }) {
  const live = useLive((signal) => all('/v1/bgp-sessions', {}, { signal }), { kinds: ['config.'] });
  const mine = (live.data ?? []).filter((one) => one.gateway === gateway.name).map(({ id }) => [id, id]);
  return html`<${Choice} label="Session" any="any" value=${value} options=${mine} onChoose=${onChoose} />`;
}
