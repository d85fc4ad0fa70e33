// The parts that pages are made of.
export { Dialog, ConfirmDialog } from './dialog.js';
export { Field, CheckField, SelectField } from './field.js';
export { Plan } from './plan.js';
export { Empty, Page, ProblemNotice, Spinner, Loaded, Notice } from './page.js';
export { Status, Role } from './status.js';
export { Table, Facts } from './table.js';
export { toast, Toasts, announce, Announcer } from './toasts.js';
export { CopyButton } from './copy.js';
export { Time, Ago, Past } from './time.js';
