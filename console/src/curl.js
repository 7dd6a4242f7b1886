// The command that makes a request once more, from a shell.

/** `request` as sending.js notes it; `base` is where the page is served. The key is named, never shown. */
export function curlFor({ path, query, items }, base, { withKey = false } = {}) {
  const url = quoted(new URL(`${path}?${query}`, base).href);
  const key = withKey ? ' -H "Authorization: Bearer $BONAFIDE_KEY"' : "";
  if (path === "batch") {
    const files = items.map(
      ({ name, mediaType }) => ` \\\n  -F ${quoted(`files=@"${escaped(name)}";type=${mediaType}`)}`,
    );
    return `curl -s${key}${files.join("")} \\\n  ${url}`;
  }
  const [{ name, mediaType, address }] = items;
  const type = `-H ${quoted(`Content-Type: ${mediaType}`)}`;
  if (address) {
    return `curl -s ${quoted(new URL(address, base).href)} |\n  curl -s --data-binary @- ${type}${key} \\\n  ${url}`;
  }
  return `curl -s --data-binary ${quoted(`@${name}`)} ${type}${key} \\\n  ${url}`;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const escaped = (name) => name.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
