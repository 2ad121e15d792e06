export function Overview() {
  return <p class="empty">…</p>;
}
