// Server-sent events (WHATWG HTML 9.2) from the text of a response body. Pure.

/** A parser: `feed(text)` gives the messages that are complete now, as {id, event, data}. */
export function parser() {
  let rest = '';
  let message = empty();
  return function feed(text) {
    rest += text;
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    const complete = [];
    for (const line of lines) {
      if (line === '') {
        if (message.data.length) complete.push({ ...message, data: message.data.join('\n') });
        message = empty(message.id);
      } else if (!line.startsWith(':')) {
        take(message, line);
      }
    }
    return complete;
  };
}

const empty = (id = null) => ({ id, event: 'message', data: [] });

function take(message, line) {
  const colon = line.indexOf(':');
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
  if (name === 'data') message.data.push(value);
  else if (name === 'id') message.id = value;
  else if (name === 'event') message.event = value;
}
