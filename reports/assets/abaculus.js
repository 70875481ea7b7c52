// Draws the figures of a page with plotly.js, which is loaded when the first figure comes into view. The page contains
// all data already, as JSON inside the figure and as a table beside it.
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

  // Paper is always light. If a reader's system has its own colours, the browser gives them to the body.
  const paper = matchMedia("print");
  const forced = matchMedia("(forced-colors: active)");

  // Colours of the page's palette, light or dark, for the parts that Plotly draws itself.
  const palette = () => {
    const style = getComputedStyle(document.body);
    const read = (name) => style.getPropertyValue(name).trim();
    return forced.matches
      ? { text: style.color, grid: style.color, page: style.backgroundColor, font: style.fontFamily }
      : { text: read("--md-default-fg-color"), grid: read("--md-default-fg-color--lightest"),
          page: read("--md-default-bg-color"), font: style.fontFamily };
  };

  // Red, green and blue of a colour, over another one if it is not opaque.
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parts = (...colors) => {
    colors.forEach((color) => { pen.fillStyle = color; pen.fillRect(0, 0, 1, 1); });
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [red, green, blue] = rgb.map((part) =>
      part <= 10 ? part / 3294 : ((part / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [less, more] = [light(one), light(other)].sort((a, b) => a - b);
    return (more + 0.05) / (less + 0.05);
  };
  // The colour of a line for text, moved towards the text's colour until it can be read.
  const readable = (color) => {
    const { text, page } = palette();
    const [under, ink, own] = [parts(page), parts(page, text), parts(page, color)];
    const mixed = (part) => own.map((value, n) => Math.round(value + (ink[n] - value) * part));
    let part = 0;
    while (part < 1 && contrast(mixed(part), under) < 4.5) part += 0.05;
    return `rgb(${mixed(part)})`;
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

  const LETTER = 6.5;
  // Each band of a stack has its name, if every band is thick enough somewhere.
  const banded = ({ data, layout }, width) => {
    const bands = data.filter((trace) => trace.stackgroup);
    if (width < 480 || bands.length < 2) return {};
    const below = bands[0].y.map(() => 0);
    const step = (width - 70) / (below.length - 1);
    const found = bands.map((trace) => {
      let best = { thick: 0 };
      trace.y.forEach((value, n) => {
        // A name is wider than a point, so its neighbours must be thick enough too.
        const half = Math.max(1, Math.ceil((trace.name.length * LETTER) / 2 / step));
        const near = Array.from({ length: 2 * half + 1 }, (_, at) => trace.y[n - half + at] ?? 0);
        const thick = Math.min(...near);
        if (thick > best.thick) best = { thick, x: trace.x[n], y: below[n] + value / 2, text: trace.name };
      });
      trace.y.forEach((value, n) => { below[n] += value; });
      return best;
    });
    const most = Math.max(...below);
    if (found.some(({ thick }) => thick < 0.055 * most)) return {};
    return {
      showlegend: false,
      annotations: [...(layout.annotations ?? []),
                    ...found.map(({ x, y, text }) => ({ text, x, y, showarrow: false, font: { size: 11 } }))],
    };
  };

  // Leaves out names of an axis, and of marks, that would collide. Newer marks have priority.
  const thinned = (axis, width) => {
    if (!axis?.ticktext || axis.tickangle !== 0) return axis;
    const longest = Math.max(...axis.ticktext.map((name) => name.length));
    const every = Math.ceil(((longest + 2) * LETTER * axis.ticktext.length) / (width - 70));
    const some = (list) => list.filter((_, n) => n % every === 0);
    return every < 2 ? axis : { ...axis, tickvals: some(axis.tickvals), ticktext: some(axis.ticktext) };
  };
  const apart = (marks, { data, layout }, width) => {
    const times = data.flatMap((trace) => trace.x ?? []).map((time) => Date.parse(`${time}Z`));
    const first = Math.min(...times);
    const across = (width - 70) / (Math.max(...times) - first || 1);
    let free = Infinity;
    return marks.toReversed().filter((mark) => {
      if (mark.xref !== "x" || mark.yref !== "paper" || layout.xaxis?.type !== "date") return true;
      const half = (mark.text.length * LETTER) / 2 + 3;
      const at = (Date.parse(`${mark.x}Z`) - first) * across;
      if (at + half > free) return false;
      free = at - half;
      return true;
    });
  };

  // A mark links to its page, like the link below the figure.
  const leading = (marks, plot) => {
    const below = [...plot.parentElement.querySelectorAll(":scope > .ab-marks")].map((one) => one.content ?? one);
    const links = below.flatMap((one) => [...one.querySelectorAll("a")]);
    return marks.map((mark) => {
      const href = links.find(({ textContent }) => textContent === mark.text)?.getAttribute("href");
      return href ? { ...mark, text: `<a href="${encodeURI(href)}" target="_self"><u>${mark.text}</u></a>` } : mark;
    });
  };

  const themed = (figure, width, plot) => {
    const { text, grid, page, font } = palette();
    const layout = { ...figure.layout, ...ended(figure, width), ...banded(figure, width) };
    layout.annotations = layout.annotations?.map((one) =>
      one.font?.color ? { ...one, font: { ...one.font, color: readable(one.font.color) } } : one);
    if (layout.annotations) layout.annotations = leading(apart(layout.annotations, figure, width), plot);
    const axis = (given) => ({ gridcolor: grid, linecolor: grid, zerolinecolor: grid, ...thinned(given, width) });
    const shapes = (layout.shapes ?? []).map((mark) => ({ ...mark, line: { ...mark.line, color: text, width: 1.5 } }));
    const axes = Object.fromEntries(["xaxis", "yaxis", ...Object.keys(layout).filter((name) => /^[xy]axis\d/.test(name))]
      .map((name) => [name, axis(layout[name])]));
    return {
      // Without dragging, so that a thumb on a chart scrolls the page.
      height: 360, ...layout, dragmode: false, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: font, size: 12, color: text }, ...axes, shapes, hoverlabel: { bgcolor: page, bordercolor: grid, font: { family: font, color: text } },
    };
  };

  // The scale of a heat map begins near the page's colour, light or dark. Numbers that would collide are left out.
  const dressed = ({ data, layout }, width) => {
    const { text, grid } = palette();
    const dark = document.body.dataset.mdColorScheme === "slate" && !paper.matches;
    return data.map((trace) => trace.type === "heatmap" && trace.name
      ? { ...trace, colorscale: [[0, grid], [1, grid]], ...(width < 560 ? { texttemplate: "" } : {}) }
      : trace.type === "heatmap"
      ? { ...trace, colorscale: layout.meta.scales[dark ? 1 : 0],
          ...(width < 560 ? { texttemplate: "", showscale: false } : {}) }
      : trace.error_x || trace.error_y
        ? { ...trace, error_x: { ...trace.error_x, color: text }, error_y: { ...trace.error_y, color: text } }
        : trace);
  };
  const arguments_ = (element) => {
    const width = element.clientWidth;
    return [element, dressed(element.figure, width), themed(element.figure, width, element)];
  };

  // Draws one figure after the other, each in its own task, so that the page reacts between them. On a slow network,
  // the table is visible meanwhile.
  const LATE = 3000;
  const late = (plot) => plot.closest("figure").classList.add("ab-late");
  let turn = Promise.resolve();
  const pause = () => new Promise((done) => setTimeout(done));
  const draw = (element) => {
    if (element.dataset.drawn || !element.clientWidth) return;
    element.dataset.drawn = "yes";
    element.slow = setTimeout(late, LATE, element);
    plotly().finally(() => clearTimeout(element.slow)).catch(() => {});
    turn = turn.then(plotly).then(pause, pause).then(() => drawn(element)).then(pause);
  };

  const drawn = async (element) => {
    const figure = JSON.parse(element.querySelector("template").content.textContent);
    try {
      const library = await plotly();
      element.figure = figure;
      await library.newPlot(...arguments_(element), { displayModeBar: false });
      sizes.observe(element);
      walked(element);
    } catch (error) {
      late(element);
      element.textContent = "The chart could not be drawn. The table has the same numbers.";
      element.classList.add("js-plotly-plot");
    }
  };

  // The stops of the arrow keys: all lines at one time, or else each single point.
  const stops = ({ data, layout }) => {
    const points = data.flatMap((trace, curveNumber) => trace.hoverinfo === "skip" ? []
      : trace.type === "heatmap"
        ? trace.z.flatMap((row, yval) => row.map((value, xval) => ({ xval, yval, value, place: yval * row.length + xval })))
        : trace.x.map((_, pointNumber) => {
          const lies = trace.orientation === "h";
          const at = (lies ? trace.y : trace.x)[pointNumber];
          const place = layout.xaxis?.type === "date" ? Date.parse(`${at}Z`) : at;
          return { curveNumber, pointNumber, value: (lies ? trace.x : trace.y)[pointNumber], place };
        })).filter(({ value }) => value != null);
    points.sort((one, other) => one.place - other.place);
    return layout.hovermode === "x unified"
      ? [...new Set(points.map(({ place }) => place))].map((xval) => ({ xval }))
      : points.map((point) => "xval" in point ? point : [point]);
  };

  // Arrow keys work like a mouse, and screen readers say the hover text.
  const walked = (plot) => {
    let at = -1;
    const said = element("p", { class: "ab-hidden", "aria-live": "polite" });
    plot.after(said);
    plot.tabIndex = 0;
    plot.addEventListener("keydown", (event) => {
      const all = stops(plot.figure);
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Escape") window.Plotly.Fx.unhover(plot);
      if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      at = Math.min(Math.max(at < 0 && step === -1 ? all.length - 1 : at + step, 0), all.length - 1);
      window.Plotly.Fx.hover(plot, all[at], Object.keys(plot._fullLayout._plots));
      // The text appears a moment later, because Plotly waits while keys come fast.
      setTimeout(() => {
        const shown = [...plot.querySelectorAll(".hoverlayer text")].map((text) => text.textContent);
        said.textContent = shown.filter(Boolean).join("; ");
      }, 100);
    });
    plot.addEventListener("blur", () => { at = -1; window.Plotly.Fx.unhover(plot); });
  };

  const plots = () => [...document.querySelectorAll(".ab-plot")];

  // A figure without a width is in a hidden tab, and waits until the tab is visible.
  const repaint = (elements = plots()) => {
    for (const element of elements)
      if (element.figure && element.clientWidth) window.Plotly.react(...arguments_(element));
  };
  const sizes = new ResizeObserver((entries) => repaint(entries.map(({ target }) => target).filter(
    ({ clientWidth, _fullLayout }) => clientWidth && Math.abs(clientWidth - _fullLayout.width) > 1)));

  // A figure that is half in view is drawn at once. Figures below wait for the reader's first action, and are then
  // drawn in advance. So a phone does not load plotly.js before somebody reads on.
  const watch = (rootMargin, threshold) => new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    { rootMargin, threshold },
  );
  const waiting = new Set();
  let eye = watch("0px", 0.5);
  const seen = {
    observe: (plot) => { waiting.add(plot); eye.observe(plot); },
    unobserve: (plot) => { waiting.delete(plot); eye.unobserve(plot); },
  };
  const ahead = () => {
    for (const move of MOVES) removeEventListener(move, ahead);
    eye.disconnect();
    eye = watch("600px", 0);
    waiting.forEach((plot) => eye.observe(plot));
  };
  const MOVES = ["scroll", "wheel", "touchstart", "pointerdown", "pointermove", "keydown"];
  for (const move of MOVES) addEventListener(move, ahead, { passive: true });

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // The address has the reader's choice: `?os=Linux` for the page, `?shells.os=Linux` for one figure.
  const chosen = (prefix) => {
    const found = [...new URLSearchParams(location.search)].filter(([key]) => key.startsWith(prefix));
    const [key, value] = found[found.length - 1] ?? [];
    return key === undefined ? null : { column: key.slice(prefix.length), value };
  };
  const remember = (prefix, columns, choice) => {
    const query = new URLSearchParams(location.search);
    columns.forEach((column) => query.delete(prefix + column));
    if (choice) query.set(prefix + choice.column, choice.value);
    const text = query.toString();
    try {
      history.replaceState(history.state, "", location.pathname + (text && "?" + text) + location.hash);
    } catch { /* a page opened from a file may not be allowed to */ }
  };

  // A menu with the values of some columns, of which readers choose one. "Everything" is first.
  const menu = (templates, prefix, label, change) => {
    const columns = new Map();
    for (const { dataset } of templates) {
      const column = columns.get(dataset.column) ?? { title: dataset.title, values: new Set() };
      if (dataset.value !== undefined) column.values.add(dataset.value);
      columns.set(dataset.column, column);
    }
    const options = [null];
    const select = element("select", {}, element("option", { value: 0 }, "Everything"));
    const now = chosen(prefix);
    for (const [column, { title, values }] of columns) {
      const group = element("optgroup", { label: title });
      for (const value of values) {
        // For a true-or-false column, the value alone says nothing.
        const name = ["yes", "no"].includes(value) ? `${title}: ${value}` : value;
        group.append(element("option", { value: options.length }, name));
        if (now?.column === column && now.value === value) select.dataset.now = options.length;
        options.push({ column, value, title });
      }
      if (values.size) select.append(group);
    }
    if (options.length === 1) return "";
    const choose = () => {
      const choice = options[select.value];
      remember(prefix, columns.keys(), choice);
      change(choice);
    };
    select.addEventListener("change", choose);
    if (select.dataset.now) {
      select.value = select.dataset.now;
      change(options[select.value]);
    }
    return element("label", { class: "ab-filter" }, label, select);
  };

  // Replaces the figure's body and table with the content of a template, or without a template with the original.
  const show = (figure, choice) => {
    const templates = [...figure.querySelectorAll(":scope > template")];
    figure.first ??= [".ab-body", ".ab-numbers"].map((part) => figure.querySelector(part));
    const [body, numbers] = figure.first;
    const found = choice && templates.find(({ dataset }) =>
      dataset.column === choice.column && dataset.value === choice.value);
    const has = choice && templates.some(({ dataset }) => dataset.column === choice.column);
    let next = [body, numbers];
    if (found) {
      const copy = found.content.cloneNode(true);
      next = [copy.querySelector(".ab-body"), copy.querySelector(".ab-numbers")];
    } else if (has) {
      next = [element("div", { class: "ab-body" }, element("p", { class: "ab-empty" }, "Too few people to show this.")), null];
    }
    // A title may have a number that is about all rows.
    const title = figure.querySelector("figcaption").firstChild;
    figure.named ??= title.textContent;
    title.textContent = (has && templates[0].dataset.heading) || figure.named;
    figure.querySelectorAll(".ab-body .ab-plot").forEach((plot) => { seen.unobserve(plot); });
    figure.querySelector(".ab-said")?.remove();
    figure.querySelector(".ab-body").replaceWith(next[0]);
    if (numbers) {
      const there = figure.querySelector(".ab-numbers");
      there.replaceWith(next[1] ?? element("div", { class: "ab-numbers" }));
    }
    if (choice)
      next[0].prepend(element("p", { class: "ab-said", "aria-live": "polite" }, has
        ? `${choice.title}: only ${choice.value}` : `${choice.title}: everything, this is not filtered by it`));
    begin(figure);
  };

  const filters = () => {
    const figures = [...document.querySelectorAll("figure:has(> .ab-body)")];
    if (!figures.length || figures[0].dataset.begun) return;
    figures[0].dataset.begun = "yes";
    const all = figures.flatMap((figure) => [...figure.querySelectorAll(":scope > template")]);
    const whole = all.filter(({ dataset }) => dataset.page);
    for (const figure of figures) {
      const own = [...figure.querySelectorAll(":scope > template")].filter(({ dataset }) => !dataset.page);
      if (own.length)
        figure.querySelector("figcaption").after(
          menu(own, figure.id.replace(/^chart-/, "") + ".", "Show", (choice) => show(figure, choice)));
    }
    if (whole.length) {
      const heading = document.querySelector("article h1");
      const made = menu(whole, "", "Show on this page", (choice) => figures.forEach((figure) => show(figure, choice)));
      if (made && heading) heading.after(made);
    }
  };

  // A click on a heading sorts a table. Long tables have a search field.
  const LONG = 10;
  const key = (row, column) => {
    const { dataset, textContent } = row.cells[column];
    return dataset.sort === undefined ? textContent : dataset.sort === "" ? null : Number(dataset.sort);
  };
  const compare = (one, other) => one === null || other === null ? (one === null) - (other === null)
    : typeof one === "number" ? one - other : one.localeCompare(other, undefined, { numeric: true });

  const sortable = (table) => {
    if (table.dataset.begun) return;
    table.dataset.begun = "yes";
    const body = table.tBodies[0];
    const rows = [...body.rows];
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      const button = element("button", { type: "button" }, ...cell.childNodes);
      cell.replaceChildren(button);
      button.addEventListener("click", () => {
        // Numbers begin with the largest, and names with the first. A second click reverses the order.
        const numbers = rows.some((row) => typeof key(row, column) === "number") && column >= Number(table.dataset.depth);
        const now = cell.getAttribute("aria-sort");
        const down = now ? now === "ascending" : numbers;
        table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        const sorted = [...rows].sort((one, other) => {
          const [a, b] = [key(one, column), key(other, column)];
          // Hidden values stay at the end.
          return a === null || b === null ? compare(a, b) : (down ? -1 : 1) * compare(a, b);
        });
        body.append(...sorted);
      });
    });
    if (rows.length <= LONG) return;
    const input = element("input", { type: "search", autocomplete: "off" });
    const found = element("span", { role: "status" });
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      rows.forEach((row) => { row.hidden = !row.textContent.replaceAll("\u00a0", " ").toLowerCase().includes(wanted); });
      found.textContent = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
    });
    table.parentElement.before(element("p", { class: "ab-search" }, element("label", {}, "Search ", input), " ", found));
  };

  const begin = (root) => {
    root.querySelectorAll(".ab-plot").forEach((plot) => seen.observe(plot));
    root.querySelectorAll("table.ab-sort:not(details:not([open]) *, details:not([open]) ~ .ab-numbers *)").forEach(sortable);
  };

  // A closed table waits until it is opened, because a page has many tables and readers open few.
  document.addEventListener("toggle", ({ target }) => {
    if (target.open) (target.closest("figure") ?? target).querySelectorAll("table.ab-sort").forEach(sortable);
  }, true);

  // Corrects the theme for keyboards and screen readers: its search has no name, a keyboard cannot reach its scrolling
  // tables, and the buttons of all code blocks are landmarks with the same name.
  const named = () => {
    document.querySelector(".md-search[role='dialog']:not([aria-label])")?.setAttribute("aria-label", "Search");
    document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach((wrap) => { wrap.tabIndex = 0; });
    document.querySelectorAll(".md-code__nav").forEach((nav, number) => {
      if (!nav.ariaLabel) nav.ariaLabel = `Code ${number + 1}`;
    });
  };
  new MutationObserver(named).observe(document.documentElement, { childList: true, subtree: true });

  // With instant navigation, a page changes without being loaded. Material reports this.
  const start = () => { begin(document); filters(); named(); };
  if (window.document$) window.document$.subscribe(start);
  else if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();

  new MutationObserver(() => repaint()).observe(document.body ?? document.documentElement, {
    attributes: true, attributeFilter: ["data-md-color-scheme"],
  });

  for (const media of [paper, forced]) media.addEventListener("change", () => repaint());

  // A figure that cannot be drawn before printing is printed as its table.
  window.addEventListener("beforeprint", () => plots().forEach(draw));
})();
