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

  const themed = (layout) => {
    const { text, grid, page, font } = palette();
    const axis = (given) => ({ gridcolor: grid, linecolor: grid, zerolinecolor: grid, ...given });
    return {
      height: 360, ...layout, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: font, size: 12, color: text }, xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
      hoverlabel: { bgcolor: page, bordercolor: grid, font: { family: font, color: text } },
    };
  };

  const draw = async (element) => {
    if (element.dataset.drawn) return;
    element.dataset.drawn = "yes";
    const source = element.querySelector("script");
    const figure = JSON.parse(source.textContent);
    try {
      const library = await plotly();
      element.figure = figure;
      await library.newPlot(element, figure.data, themed(figure.layout), { responsive: true, displayModeBar: false });
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
      if (element.figure && window.Plotly) window.Plotly.react(element, element.figure.data, themed(element.figure.layout));
  };

  const start = () => plots().forEach((element) => seen.observe(element));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
  new MutationObserver(repaint).observe(document.body ?? document.documentElement, {
    attributes: true, attributeFilter: ["data-md-color-scheme"],
  });
  window.addEventListener("beforeprint", () => plots().forEach(draw));
})();
