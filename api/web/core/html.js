// Preact and htm as the pages use them: one import for markup and hooks. Beside a tag or an expression htm drops
// white space that has a line break in it: words that must not run together need ${' '} there, or one line.
import { Fragment, cloneElement, createContext, createPortal, h, render } from '../vendor/preact.js';
import htm from '../vendor/htm.js';

export const html = htm.bind(h);
export { Fragment, cloneElement, createContext, createPortal, h, render };
export {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from '../vendor/preact-hooks.js';
