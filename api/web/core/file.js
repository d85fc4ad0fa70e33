// Files of the browser's downloads.

const KEPT = 60_000;

/** Hands a blob over as a file of this name. */
export function save(blob, filename) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement('a'), { href: url, download: filename }).click();
  // The browser has taken the blob once the click was handled; the memory is given back after that.
  setTimeout(() => URL.revokeObjectURL(url), KEPT);
}
