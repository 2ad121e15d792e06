import { Component, type ComponentChildren } from "preact";
import { says } from "./api";

/** Boundary keeps a page that breaks from taking the rest of the panel with it, and says what broke. */
export class Boundary extends Component<{ children: ComponentChildren }, { broke?: string }> {
  override state: { broke?: string } = {};

  override componentDidCatch(error: unknown): void {
    console.error(error);
    this.setState({ broke: says(error) });
  }

  override render() {
    if (!this.state.broke) return this.props.children;
    return (
      <div class="page">
        <p class="failure" role="alert">
          This page broke: {this.state.broke}{" "}
          <button class="small" onClick={() => this.setState({ broke: undefined })}>Show it again</button>
        </p>
      </div>
    );
  }
}
