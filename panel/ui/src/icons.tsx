const paths: Record<string, string> = {
  logo: "M2 10c2 0 2-2 4-2s2 2 4 2 2-2 4-2M2 6c2 0 2-2 4-2s2 2 4 2 2-2 4-2M2 14c2 0 2-2 4-2s2 2 4 2 2-2 4-2",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  moon: "M13 9.5A5.5 5.5 0 1 1 6.5 3a4.5 4.5 0 0 0 6.5 6.5",
  auto: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 2v12M10 4v8M12 6v4",
  out: "M9.5 11.5v2h-7v-11h7v2M6 8h8M11.5 5.5 14 8l-2.5 2.5",
  stop: "M4 4h8v8H4z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.5 12 8l-7 4.5z",
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  down: "M8 2v9M4.5 7.5 8 11l3.5-3.5M2.5 13.5h11",
  close: "m4 4 8 8M12 4l-8 8",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.5 10.5 14 14",
  right: "m6 3.5 4.5 4.5L6 12.5",
  bell: "M3.5 11.5h9c-1-1-1-2-1-4a3.5 3.5 0 0 0-7 0c0 2 0 3-1 4M6.5 13.5h3",
};

/** Icon is decoration; what it says stands in a label beside it. */
export function Icon({ name }: { name: string }) {
  return (
    <svg class="ico" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}
