// A value that components follow.
import { useEffect, useState } from './html.js';

/** @returns {{get: () => any, set: (value: any) => void, subscribe: (listener: Function) => Function}} */
export function createStore(value) {
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of [...listeners]) listener(value);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The store's value; the component renders again when it changes. */
export function useStore(store) {
  const [value, setValue] = useState(store.get());
  useEffect(() => {
    setValue(store.get()); // It may have changed between rendering and here.
    return store.subscribe(setValue);
  }, [store]);
  return value;
}
