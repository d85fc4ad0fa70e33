// Ask before doing: the dry run says what would happen, then somebody confirms.
import { useEffect, useRef, useState } from '../core/html.js';

/**
 * The answer of `load()` as {data, error}; data null while it is found out. It is asked again when `key` changes
 * (300 ms after the last change), and the latest answer counts.
 */
export function useDryRun(load, key) {
  const [found, setFound] = useState({ data: null, error: null });
  const first = useRef(true);
  useEffect(() => {
    let wanted = true;
    const run = async () => {
      try {
        const data = await load();
        if (wanted) setFound({ data, error: null });
      } catch (error) {
        if (wanted) setFound({ data: null, error });
      }
    };
    const timer = setTimeout(run, first.current ? 0 : 300);
    first.current = false;
    return () => { wanted = false; clearTimeout(timer); };
  }, [key]);
  return found;
}
