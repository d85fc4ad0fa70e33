// The form of one resource: make, change or delete it. What will happen is shown before anything is written.
import { html, useEffect, useMemo, useState } from '../core/html.js';
import { all, api, path as url } from '../core/http.js';
import { navigate } from '../core/router.js';
import { useActor } from '../core/session.js';
import { ConfirmDialog, Page, Plan, ProblemNotice, Spinner } from '../ui/index.js';
import { Conflict } from './resources_conflict.js';
import { at, differences, merged, pathOf, pointerOf, put, toDocument, toDraft } from './resources_document.js';
import { Section } from './resources_fields.js';
import { useGuard } from './resources_guard.js';
import { KINDS, kindOf } from './resources_kinds.js';
import { BEGINNINGS } from './resources_layout.js';
import { Deletion, Standing } from './resources_standing.js';
import { Cannot, Doing, whyNot } from './resources_rights.js';
import { schemaOf, schemas } from './resources_schema.js';
import { Summary, byPointer } from './resources_errors.js';

const MASK = '(masked: reveal prints it)';

/** `#/resources/KIND/new` (params.name is `new`, which is no resource that exists) and `#/resources/KIND/NAME`. */
export default function ResourcePage({ params, query }) {
  const kind = kindOf(params.kind);
  const [loaded, setLoaded] = useState({});
  const [round, setRound] = useState(0);
  const key = `${params.kind}/${params.name}`;
  useEffect(() => {
    let wanted = true;
    load(kind, params.name).then(
      (data) => wanted && setLoaded({ key, round, data }),
      (error) => wanted && setLoaded({ key, error }),
    );
    return () => { wanted = false; };
  }, [key, round]);
  const parent = { href: `#/resources/${params.kind}`, label: kind?.plural ?? 'Resources' };
  if (!kind) return html`<${Page} title="No such kind" parent=${{ href: '#/resources', label: 'Resources' }} />`;
  const title = params.name === 'new' ? `New ${kind.label}` : params.name;
  if (loaded.key !== key) return html`<${Page} title=${title} parent=${parent}><${Spinner} /><//>`;
  if (loaded.error) return html`<${Page} title=${title} parent=${parent}><${ProblemNotice} problem=${loaded.error} onRetry=${() => setRound(round + 1)} /><//>`;
  return html`<${Editor} key=${`${key} ${loaded.round}`} kind=${kind} title=${title} parent=${parent} query=${query}
    loaded=${loaded.data} onAgain=${() => setRound(round + 1)} />`;
}

/** Schema, the resource (null: a new one), and the names that it may refer to. */
async function load(kind, name) {
  if (!kind) return null;
  const isNew = name === 'new';
  const [components, resource, ...lists] = await Promise.all([
    schemas(), isNew ? null : api.get(url`/v1/${kind.path}/${name}`),
    ...KINDS.slice(0, 5).map(({ path }) => all(`/v1/${path}`)),
  ]);
  const references = Object.fromEntries(KINDS.slice(0, 5).map(({ path }, i) => [path, lists[i].map((one) => one.name)]));
  return { schema: schemaOf(components, kind.document), resource: resource?.data ?? null, etag: resource?.etag, references };
}

/** What a link brings along is taken for plain values only. */
function beginning(kind, schema, query) {
  const plain = (key) => schema.keys.includes(key) && ['text', 'choice'].includes(schema.member(key).type);
  const given = Object.entries(query).filter(([key, value]) => typeof value === 'string' && plain(key));
  return { ...BEGINNINGS[kind.document], ...Object.fromEntries(given) };
}

/** The draft of a resource, what it stands for, and what is asked before it is written. */
function useEditing({ kind, loaded, query, onAgain }) {
  const { schema, resource } = loaded;
  const exists = resource !== null;
  const initial = useMemo(() => (exists ? toDraft(schema, resource.config) : beginning(kind, schema, query)), []);
  const [base, setBase] = useState({ config: resource?.config ?? {}, etag: loaded.etag });
  const [draft, setDraft] = useState(initial);
  const [errors, setErrors] = useState([]);
  const [asking, setAsking] = useState(null);
  const document = useMemo(() => toDocument(schema, draft) ?? {}, [draft]);
  const untouched = useMemo(() => toDocument(schema, exists ? toDraft(schema, base.config) : initial) ?? {}, [base]);
  const dirty = differences(untouched, document).length > 0;
  const write = useMemo(() => writer(kind, resource?.name, document, base.etag), [document, base.etag]);
  const review = async (event) => {
    event.preventDefault();
    setErrors([]);
    setAsking({ plan: null });
    try {
      const { data } = await write({ dryRun: true });
      setAsking({ plan: data.plan });
    } catch (problem) {
      refused(problem, { setErrors, setAsking, kind, name: resource?.name });
    }
  };
  /** After a conflict: on with what is there now, with or without what was changed here. */
  const rebase = (keep) => {
    const theirs = asking.theirs.data.config;
    setBase({ config: theirs, etag: asking.theirs.etag });
    setDraft(toDraft(schema, keep ? merged(base.config, document, theirs) : theirs));
    setAsking(null);
  };
  return {
    kind, schema, resource, exists, initial, base, draft, setDraft, errors, asking, document, dirty, write, review, rebase, onAgain,
    close: () => setAsking(null),
  };
}

function Editor({ kind, title, parent, query, loaded, onAgain }) {
  const editing = useEditing({ kind, loaded, query, onAgain });
  const { schema, resource, exists, draft, errors, dirty } = editing;
  const actor = useActor();
  const why = whyNot(actor, 'admin', { resources: true });
  const guard = useGuard(dirty && !why);
  const form = useMemo(() => formOf({ ...editing, loaded, why, actor }), [draft, errors, why]);
  return html`<${Page} title=${title} parent=${parent} lead=${kind.what}
    actions=${exists && html`<${Deletion} kind=${kind} resource=${resource} etag=${editing.base.etag} why=${why} onLeave=${guard.leave} />`}>
    <${Cannot} why=${why} />
    <${Standing} kind=${kind} resource=${resource} />
    <${Summary} errors=${errors} />
    <form class="resource-form" onSubmit=${editing.review} noValidate>
      <fieldset class="form-all" disabled=${Boolean(why)}><legend class="visually-hidden">${kind.label} ${exists ? title : ''}</legend>
        <${Section} schema=${schema} path=${[]} form=${form} />
      </fieldset>
      <div class="form-end actions">
        <${Doing} type="submit" class="primary" why=${why} disabled=${exists && !dirty}>Review and ${exists ? 'save' : 'create'}…<//>
        <a class="button" href=${parent.href}>Cancel</a>
        ${exists && !why && html`<span class="muted">${dirty ? 'Not saved yet' : 'No changes'}</span>`}
      </div>
    </form>
    <${Question} editing=${editing} onWritten=${guard.leave} />
    ${guard.dialog}
  <//>`;
}

/** What is asked before it is written: whether to, or what to do about what somebody else changed. */
function Question({ editing: { kind, resource, exists, base, document, asking, write, rebase, close, onAgain }, onWritten }) {
  if (!asking) return null;
  if (asking.theirs) {
    return html`<${Conflict} base=${base.config} theirs=${asking.theirs.data.config} mine=${document}
      onKeep=${() => rebase(true)} onDiscard=${() => rebase(false)} onClose=${close} />`;
  }
  const written = ({ data }) => {
    onWritten();
    if (exists) onAgain();
    else navigate(kind.key === 'vpn_connections' ? url`/connections/${data.name}` : url`/resources/${kind.path}/${data.name}`);
  };
  return html`<${ConfirmDialog} title=${exists ? `Save ${resource.name}?` : `Create this ${kind.label}?`}
    plan=${asking.plan && html`<${Plan} plan=${asking.plan} />`} danger=${interrupts(asking.plan)}
    error=${asking.error} confirm=${{ label: exists ? 'Save' : 'Create', run: () => write({}) }}
    done=${`${kind.label} ${document.name ?? ''} is ${exists ? 'saved' : 'made'}`} onDone=${written} onClose=${close} />`;
}

/** Sends the document; a creation has a key of its own, so that a repetition makes nothing twice. */
function writer(kind, name, document, etag) {
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return ({ dryRun }) => (name === undefined
    ? api.post(`/v1/${kind.path}`, document, { dryRun, key: dryRun ? undefined : key })
    : api.put(url`/v1/${kind.path}/${name}`, document, { dryRun, etag }));
}

/** A dry run that was refused: at the fields, as a conflict, or in the dialog. */
async function refused(problem, { setErrors, setAsking, kind, name }) {
  if (problem.status === 422 && problem.errors.length > 0) {
    setAsking(null);
    setErrors(problem.errors);
    return;
  }
  if (problem.status === 412 && name !== undefined) {
    try {
      setAsking({ theirs: await api.get(url`/v1/${kind.path}/${name}`) });
    } catch (other) {
      setAsking({ plan: null, error: other });
    }
    return;
  }
  setAsking({ plan: null, error: problem });
}

const interrupts = (plan) => Boolean(plan) && [...plan.sessions, ...plan.tunnels].some(({ action }) => action === 'reset' || action === 'remove');

/** What the controls need; see resources_fields.js. */
function formOf({ kind, loaded, exists, initial, draft, setDraft, errors, why, actor, schema }) {
  const wrong = byPointer(errors, (pointer) => schema.at(pathOf(pointer))?.type === 'list');
  const initialAt = (path) => at(initial, path);
  return {
    kind, draft, exists, mask: MASK, references: loaded.references, name: loaded.resource?.name,
    disabled: Boolean(why),
    mayReveal: actor?.scope === 'admin',
    initialAt,
    set: (path, value) => setDraft((was) => put(was, path, value)),
    replace: setDraft,
    errorAt: (path) => wrong.get(pointerOf(path)),
    hasError: (path) => errors.some(({ pointer }) => `${pointer.replace(/^#/, '')}/`.startsWith(`${pointerOf(path)}/`)),
    isDefault: (path) => {
      const value = at(draft, path);
      const standard = path.length ? schema.at(path).default : undefined;
      return value === undefined || String(value) === String(standard ?? '');
    },
  };
}

