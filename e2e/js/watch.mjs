// The page's side of a watch: what any front end would write. It collects the
// last-event IDs until the browser says that the source is closed for good.
export function watch(EventSource, url, types) {
  return new Promise((resolve) => {
    const seen = { ids: [], types: [], errors: 0 };
    const source = new EventSource(url);
    for (const type of types) {
      source.addEventListener(type, (message) => {
        seen.ids.push(message.lastEventId);
        seen.types.push(type);
      });
    }
    source.addEventListener("end", () => seen.types.push("end"));
    source.addEventListener("error", () => {
      seen.errors++;
      if (source.readyState === 2) resolve(seen);
    });
  });
}
