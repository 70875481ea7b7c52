// Draws the figures of a page with plotly.js, which is loaded when the first of them comes into view. Everything that
// is drawn stands in the page already, as JSON inside the figure and as a table below it.
(() => {
  "use strict";
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  let library = null;

  const plotly = () =>
    (library ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = base + "plotly.min.js";
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error("plotly.min.js could not be loaded"));
      document.head.append(script);
    }));

  // Colours of the page's palette, light or dark, for what Plotly draws itself.
  const palette = () => {
    const style = getComputedStyle(document.body);
    const read = (name) => style.getPropertyValue(name).trim();
    return { text: read("--md-default-fg-color"), grid: read("--md-default-fg-color--lightest"),
             page: read("--md-default-bg-color"), font: style.fontFamily };
  };

  // Names at the ends of lines are easier to follow than a legend. They need room beside the lines and between them.
  const ended = ({ data, layout }, width) => {
    const lines = data.filter((trace) => trace.name);
    if (!layout.meta?.ends || width < 640 || lines.length < 2) return {};
    const ends = lines.map((trace) => {
      let at = trace.y.length - 1;
      while (at > 0 && trace.y[at] == null) at -= 1;
      return { text: trace.name, y: trace.y[at] ?? 0, x: trace.x[at], color: trace.line.color };
    }).sort((one, other) => one.y - other.y);
    const most = Math.max(...lines.flatMap((trace) => trace.y.map((value) => value ?? 0)));
    const apart = (15 / 290) * most;
    if (ends.some((end) => end.x < layout.meta.ends) || ends.length * apart > most) return {};
    ends.forEach((end, n) => { end.at = n ? Math.max(end.y, ends[n - 1].at + apart) : end.y; });
    const longest = Math.max(...ends.map((end) => end.text.length));
    return {
      showlegend: false, margin: { ...layout.margin, r: Math.min(24 + longest * 7, 190) },
      annotations: [...(layout.annotations ?? []),
                    ...ends.map((end) => ({ text: end.text, x: 1, xref: "paper", xanchor: "left", y: end.at, xshift: 6,
                                            showarrow: false, font: { color: end.color } }))],
    };
  };

  const themed = (figure, width) => {
    const { text, grid, page, font } = palette();
    const layout = { ...figure.layout, ...ended(figure, width) };
    const axis = (given) => ({ gridcolor: grid, linecolor: grid, zerolinecolor: grid, ...given });
    // A rectangle is a veil over what is not over; lines are marks.
    const shapes = (layout.shapes ?? []).map((shape) => shape.type === "rect"
      ? { ...shape, fillcolor: page }
      : { ...shape, line: { ...shape.line, color: text, width: 1.5 } });
    return {
      height: 360, ...layout, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: font, size: 12, color: text }, xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
      shapes, hoverlabel: { bgcolor: page, bordercolor: grid, font: { family: font, color: text } },
    };
  };

  // A heat map's scale begins near the page's colour, light or dark; its numbers are left out where they would collide.
  const dressed = ({ data, layout }, width) => {
    const { text } = palette();
    const dark = document.body.dataset.mdColorScheme === "slate";
    return data.map((trace) => trace.type === "heatmap"
      ? { ...trace, colorscale: layout.meta.scales[dark ? 1 : 0],
          ...(width < 560 ? { texttemplate: "", showscale: false } : {}) }
      : trace.error_x || trace.error_y
        ? { ...trace, error_x: { ...trace.error_x, color: text }, error_y: { ...trace.error_y, color: text } }
        : trace);
  };
  const arguments_ = (element) => {
    const width = element.clientWidth;
    return [element, dressed(element.figure, width), themed(element.figure, width)];
  };

  const draw = async (element) => {
    if (element.dataset.drawn) return;
    element.dataset.drawn = "yes";
    const source = element.querySelector("script");
    const figure = JSON.parse(source.textContent);
    try {
      const library = await plotly();
      element.figure = figure;
      await library.newPlot(...arguments_(element), { responsive: true, displayModeBar: false });
    } catch (error) {
      const more = element.parentElement.querySelector("details");
      if (more) more.open = true;
      element.style.minHeight = "";
      element.textContent = "The chart could not be drawn; the table below has the same numbers.";
    }
  };

  const plots = () => [...document.querySelectorAll(".ab-plot")];

  const seen = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    { rootMargin: "300px" },
  );

  const repaint = () => {
    for (const element of plots())
      if (element.figure && window.Plotly) window.Plotly.react(...arguments_(element));
  };

  const start = () => plots().forEach((element) => seen.observe(element));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
  new MutationObserver(repaint).observe(document.body ?? document.documentElement, {
    attributes: true, attributeFilter: ["data-md-color-scheme"],
  });
  window.addEventListener("beforeprint", () => plots().forEach(draw));
})();
