"""The report's style sheet and its few lines of script."""

CSS = """
:root {
  --ink: #1d2733; --quiet: #55616e; --rule: #dde2e8; --paper: #ffffff; --wash: #f4f6f8;
  --before: #b04a00; --before-wash: #fdf1e8; --after: #005a8f; --after-wash: #e9f3fa;
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--wash); color: var(--ink);
  font: 17px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 60rem; margin: 0 auto; padding: 3.5rem 4rem 4rem; background: var(--paper); }
h1, h2, h3 { line-height: 1.2; font-weight: 650; letter-spacing: -0.01em; text-wrap: balance; }
h1 { font-size: 2.3rem; margin: 0 0 1rem; }
h2 { font-size: 1.45rem; margin: 3.25rem 0 0.6rem; }
h3 { font-size: 1.1rem; margin: 2.25rem 0 0.4rem; }
p, li { max-width: 42rem; }
p { margin: 0 0 0.9rem; }
.kicker {
  margin: 0 0 0.6rem; font-size: 0.82rem; font-weight: 600; letter-spacing: 0.08em;
  text-transform: uppercase; color: var(--after);
}
.lead { font-size: 1.2rem; line-height: 1.5; }
.quiet, figcaption { color: var(--quiet); }
.story {
  margin: 1.75rem 0 0;
  padding: 0.2rem 0 0.2rem 1.25rem;
  border-left: 4px solid var(--before);
}
.story p { margin: 0; }
.story b { display: block; }

.tiles { display: flex; flex-wrap: wrap; gap: 1px; margin: 2.25rem 0 0; padding: 1px;
  background: var(--rule); border-radius: 8px; overflow: hidden; }
.tiles > div { flex: 1 1 11.5rem; padding: 1.1rem 1.25rem 1.2rem; background: var(--paper); }
.tiles dt { font-size: 0.9rem; color: var(--quiet); }
.tiles dd { margin: 0; }
.tiles .value { font-size: 1.9rem; line-height: 1.25; font-weight: 650; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.tiles .why { font-size: 0.9rem; line-height: 1.45; color: var(--quiet); margin-top: 0.25rem; }

table { border-collapse: collapse; width: 100%; font-size: 0.96rem; line-height: 1.4; }
th, td { text-align: left; vertical-align: top; padding: 0.55rem 0.9rem 0.55rem 0;
  border-bottom: 1px solid var(--rule); }
thead th {
  font-size: 0.85rem;
  color: var(--quiet);
  font-weight: 600;
  border-bottom: 2px solid var(--ink);
}
tbody th { font-weight: 400; }
.numbers td, .numbers thead th:not(:first-child) {
  text-align: right;
  font-variant-numeric: tabular-nums;
}
.numbers tr > :last-child { padding-right: 0; }
.notes { margin: 0.9rem 0 0; padding-left: 1.2rem; font-size: 0.9rem; color: var(--quiet); }
.scroll { overflow-x: auto; }

figure { margin: 1rem 0 0; }
.plot { width: 100%; height: 380px; }
figcaption { font-size: 0.9rem; }
details { margin-top: 0.5rem; font-size: 0.9rem; }
summary { cursor: pointer; color: var(--after); }
details table { margin-top: 0.5rem; width: auto; min-width: 50%; }
details td, details th { padding-top: 0.3rem; padding-bottom: 0.3rem; padding-right: 1.6rem; }

.verdicts { list-style: none; padding: 0; margin: 0 0 1rem; }
.verdicts li { max-width: none; margin: 0 0 0.35rem; }
.lists { table-layout: fixed; }
.lists .place { width: 2.2rem; color: var(--quiet); font-variant-numeric: tabular-nums; }
.lists td {
  padding: 0.5rem 0.75rem;
  border-left: 1px solid var(--rule);
  overflow-wrap: break-word;
}
.lists thead th:not(:first-child) { padding-left: 0.75rem; }
.lists .item { display: block; font-weight: 550; }
.lists .note { display: block; font-size: 0.85rem; color: var(--quiet); }
.lists td.flag { background: var(--before-wash); box-shadow: inset 4px 0 0 var(--before); }
.lists td.agrees { background: var(--after-wash); }
.lists td.flag .note { color: #5d4a3c; }
.mark { display: inline-block; margin-top: 0.2rem; font-size: 0.8rem; font-weight: 600; }
.mark.flag { color: var(--before); }
.mark.agrees { color: var(--after); }

.limits { padding-left: 1.2rem; }
.limits li { margin-bottom: 0.5rem; }
.facts { font-size: 0.86rem; }
.facts th { width: 14rem; color: var(--quiet); }
.facts td {
  overflow-wrap: anywhere;
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace;
}
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--rule);
  font-size: 0.85rem; color: var(--quiet); }

@media (max-width: 44rem) {
  body { font-size: 16px; }
  main { padding: 1.75rem 1.1rem 2.5rem; }
  h1 { font-size: 1.75rem; }
  .lead { font-size: 1.08rem; }
  .tiles > div { flex-basis: 100%; padding: 0.9rem 1rem 1rem; }
  .plot { height: 340px; }
  .facts th { width: 38%; }
  .lists, .lists tbody, .lists tr, .lists td { display: block; width: 100%; }
  .lists thead {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
  }
  .lists tr { padding: 0.9rem 0 0.2rem; }
  .lists .place { display: block; width: auto; border: 0; padding: 0 0 0.3rem;
    font-weight: 600; color: var(--ink); }
  .lists .place::before { content: "Place "; }
  .lists td { border-left: 0; }
  .lists td::before {
    content: attr(data-column);
    display: block;
    font-size: 0.78rem;
    color: var(--quiet);
  }
}
@media print {
  @page { margin: 16mm; }
  html { font-size: 12.5px; }
  body { background: none; font-size: 1rem; }
  main { max-width: none; padding: 0; }
  h2, h3, thead { break-after: avoid; }
  figure, tr, .tiles > div { break-inside: avoid; }
  .tiles, .lists td, .story { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details { display: none; }
}
"""

DRAW = """
const plots = [...document.querySelectorAll(".plot")];
for (const box of plots) {
  const figure = JSON.parse(box.nextElementSibling.textContent);
  Plotly.newPlot(box, figure.data, figure.layout, { displayModeBar: false, responsive: true });
}
addEventListener("beforeprint", () => plots.forEach((box) => Plotly.relayout(box, { width: 640 })));
addEventListener("afterprint", () =>
  plots.forEach((box) => Plotly.relayout(box, { autosize: true })));
"""
