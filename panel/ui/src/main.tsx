import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/pages.css";
import "./style/job.css";
import { render } from "preact";
import "./theme";
import { Shell } from "./shell";

render(<Shell />, document.getElementById("app")!);
