// Light, dark, or as the system has it; kept for this browser.
import { createStore } from './store.js';

const KEY = 'bgpsvc.theme';
export const THEMES = [['auto', 'As the system'], ['light', 'Light'], ['dark', 'Dark']];
export const theme = createStore(localStorage.getItem(KEY) ?? 'auto');

/** One of THEMES. */
export function setTheme(name) {
  localStorage.setItem(KEY, name);
  theme.set(name);
  apply();
}

/** Puts the choice on the document, where the style sheets look. */
export function apply() {
  const name = theme.get();
  document.documentElement.style.colorScheme = name === 'auto' ? 'light dark' : name;
}
