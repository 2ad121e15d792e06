import { signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const key = "tidings.theme";
const stored = localStorage.getItem(key);

export const theme = signal<Theme>(stored === "light" || stored === "dark" ? stored : "system");

function apply(): void {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
}
apply();

/** nextTheme goes from the system's to light to dark and back. */
export function nextTheme(): void {
  const order: Theme[] = ["system", "light", "dark"];
  theme.value = order[(order.indexOf(theme.value) + 1) % order.length]!;
  if (theme.value === "system") localStorage.removeItem(key);
  else localStorage.setItem(key, theme.value);
  apply();
}
