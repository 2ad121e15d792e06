export function Errors() {
  return <p class="empty">…</p>;
}
