// What the OpenAPI document says of a field, in the few words that a form needs.
import { api } from '../core/http.js';

// Secrets in files are for configuration files: the daemon reads none for a document.
const FOR_FILES = new Set(['password_file', 'pre_shared_key_file', 'key_file']);
/** Sections that mean nothing when they are empty; the others are switched on by being there. */
const SOFT = new Set(['ike', 'ipsec', 'dpd', 'match']);

let loading = null;

/** The schemas of all documents; asked for once. */
export function schemas() {
  loading ??= api.get('/openapi.json').then(({ data }) => data.components.schemas);
  loading.catch(() => { loading = null; });
  return loading;
}

/** The schema of a kind's documents: `VpcDocument`. */
export const schemaOf = (components, name) => section(components, name, false);

function section(components, name, soft) {
  const { properties, required = [] } = components[name];
  const members = new Map();
  return {
    type: 'section', name, soft,
    keys: Object.keys(properties).filter((key) => !FOR_FILES.has(key)),
    member(key) {
      if (!members.has(key)) members.set(key, field(components, key, properties[key] ?? {}, required.includes(key)));
      return members.get(key);
    },
    /** The field at a path inside. */
    at: (path) => path.reduce((found, part) => (typeof part === 'number' ? found.item : found.member(part)), section(components, name, soft)),
  };
}

const nameOf = (schema) => schema.$ref?.split('/').pop();

/** {type: section, sections, tuple, list, boolean, text, choice, …} of one member of a document. */
function field(components, key, member, required) {
  const choices = member.anyOf ?? [member];
  const nullable = choices.some((one) => one.type === 'null');
  const schema = choices.find((one) => one.type !== 'null' && one.const === undefined) ?? {};
  const base = { required, nullable, allowed: allowedOf(schema.description ?? member.description), default: member.default };
  if (schema.$ref) return { ...section(components, nameOf(schema), SOFT.has(key)), ...base };
  if (schema.type === 'array') return { ...listOf(components, schema), ...base };
  return { ...base, ...scalar(schema) };
}

function listOf(components, schema) {
  if (schema.items.$ref) {
    return {
      type: 'sections', item: section(components, nameOf(schema.items), false),
      least: schema.minItems ?? 0, most: schema.maxItems ?? Infinity,
    };
  }
  const item = { ...scalar(schema.items), allowed: allowedOf(schema.items.description) };
  if (schema.minItems > 1 && schema.minItems === schema.maxItems) return { type: 'tuple', length: schema.minItems, item };
  return { type: 'list', item };
}

function scalar(schema) {
  const types = [schema.type].flat();
  return {
    type: schema.enum ? 'choice' : types[0] === 'boolean' ? 'boolean' : 'text',
    options: schema.enum,
    number: types.includes('integer') || types.includes('number'),
    fraction: types.includes('number'),
    secret: schema.format === 'password',
    longest: schema.maxLength,
  };
}

const allowedOf = (text = '') => text.replace(/^.*?Allowed: /s, '').replace(/; or '\(masked.*$/s, '').replace(/\.$/, '');
