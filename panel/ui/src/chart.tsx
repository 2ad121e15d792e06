import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { theme } from "./theme";
import { useMedia } from "./hooks";

export interface Line {
  label: string;
  color: string; // a custom property, such as --blue
  values: (number | null)[];
  fill?: boolean;
}

type Props = { title: string; times: number[]; lines: Line[]; show: (v: number) => string; height?: number };

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** clockText is the time of day, or the day where the steps are long. */
function clockText(t: number, step: number): string {
  const d = new Date(t * 1000);
  if (step >= 43_200) return d.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return d.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

/** alone gives the values without a neighbour: no line leads there, so a point has to. */
function alone(values: (number | null)[]): number[] {
  return values.flatMap((v, i) => (v !== null && v !== undefined && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null ? [i] : []));
}

/** showLast has the legend tell the newest values while no pointer chooses others. */
function showLast(u: uPlot): void {
  u.setLegend({ idx: u.data[0].length - 1 });
}

/** Chart draws lines over time; the legend says what they are and their values under the pointer. */
export function Chart({ title, times, lines, show, height = 150 }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const dark = useMedia("(prefers-color-scheme: dark)");
  const shape = lines.map((l) => l.label + l.color).join();

  useEffect(() => {
    const el = box.current!;
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px ui-sans-serif, system-ui, sans-serif" };
    const u = new uPlot(
      {
        width: el.clientWidth, height,
        padding: [8, 8, 0, 0],
        cursor: { y: false, points: { size: 6 } },
        hooks: { ready: [showLast] },
        legend: { live: true, markers: { width: 0, fill: (_, i) => color(lines[i - 1]?.color ?? "--dim") } },
        axes: [{ ...axis, space: 70, size: 26, values: (_, ticks, __, ___, step) => ticks.map((t) => clockText(t, step)) }, { ...axis, size: 54, space: 32, values: (_, ticks) => ticks.map((v) => show(v)) }],
        scales: { y: { range: (_, min, max) => [Math.min(0, min ?? 0), max ? max * 1.08 : 1] } },
        series: [
          { value: (_, t) => (t ? new Date(t * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }) : "") },
          ...lines.map((l) => ({
            label: l.label, stroke: color(l.color), width: 1.5, spanGaps: false,
            points: { show: true, size: 5, fill: color(l.color), width: 0, filter: (u: uPlot, i: number) => alone(u.data[i] as (number | null)[]) },
            fill: l.fill ? color(l.color) + "22" : undefined,
            value: (_: uPlot, v: number | null) => (v === null || v === undefined ? "–" : show(v)),
          })),
        ],
      },
      [times, ...lines.map((l) => l.values)] as uPlot.AlignedData,
      el,
    );
    plot.current = u;
    u.over.addEventListener("mouseleave", () => showLast(u));
    const observer = new ResizeObserver(() => u.setSize({ width: el.clientWidth, height }));
    observer.observe(el);
    return () => {
      observer.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [shape, dark, theme.value, height]);

  useEffect(() => {
    const u = plot.current;
    u?.setData([times, ...lines.map((l) => l.values)] as uPlot.AlignedData);
    if (u && !u.over.matches(":hover")) showLast(u);
  }, [times, lines]);
  const last = lines.map((l) => `${l.label} ${show(l.values.findLast((v) => v !== null) ?? 0)}`).join(", ");
  return (
    <figure class="card chart" role="img" aria-label={`${title}: ${last}`}>
      <figcaption>{title}</figcaption>
      <div ref={box} />
    </figure>
  );
}
