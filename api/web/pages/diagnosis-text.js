// A diagnosis in words, as the command line prints it. Pure.
import { time } from '../core/format.js';

/** Layers from below, as people name them. */
export const LAYERS = {
  address: 'Address',
  udp: 'UDP',
  phase1: 'IKE (phase 1)',
  phase2: 'IPsec (phase 2)',
  interface: 'Interface',
  bgp: 'BGP',
  routes: 'Routes',
  data_path: 'Data path',
  mtu: 'MTU',
  detection: 'Detection',
};

/** Outcome to kind of status and word. */
export const OUTCOMES = {
  ok: ['good', 'ok'],
  warning: ['warn', 'warning'],
  failed: ['bad', 'failed'],
  skipped: ['off', 'skipped'],
  unknown: ['off', 'unknown'],
};

export const compared = (fact) => fact.local !== null || fact.remote !== null;

const line = (fact) => {
  if (!compared(fact)) return `${fact.label}: ${fact.value}`;
  const value = fact.value === null ? '' : `${fact.value}, `;
  return `${fact.label}: ${value}here ${fact.local ?? 'unknown'}, there ${fact.remote ?? 'unknown'}`;
};

function check(found) {
  const { layer, outcome, summary, code, evidence, remedy } = found;
  const name = (LAYERS[layer] ?? layer).padEnd(17);
  const named = outcome === 'failed' || outcome === 'warning' ? ` [${code}]` : '';
  const lines = [`  ${name}${OUTCOMES[outcome][1].padEnd(9)}${summary}${named}`];
  for (const fact of evidence) lines.push(`    ${line(fact)}`);
  if (remedy) lines.push(`    -> ${remedy}`);
  return lines;
}

/** All of it as text, to be sent to the other side or into a ticket. */
export function asText(found) {
  const lines = [`${found.connection}: ${found.summary}`, `examined ${time(found.time)} in ${found.seconds.toFixed(1)} s`];
  for (const tunnel of found.tunnels) {
    lines.push('', `${tunnel.tunnel} (${tunnel.role})`, ...tunnel.checks.flatMap(check));
  }
  return `${lines.join('\n')}\n`;
}
