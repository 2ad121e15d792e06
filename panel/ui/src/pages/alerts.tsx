export function Alerts() {
  return <p class="empty">…</p>;
}
