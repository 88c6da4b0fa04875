/* A figure, as plots.py describes it, as traces and layout of plotly. */
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const MARKERS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "star", "hexagon"];
const [PRINT_WIDTH, PRINT_HEIGHT] = [680, 280]; // pixels
const MANY_NAMES = 12;

/* A series with a shade is no contender: it has a name and a colour of its own. */
const look = (who, shade, label) => ({
  name: label || plain(data.names[who] === undefined ? "?" : data.names[who], 28),
  legendgroup: "w" + who,
  line: { color: shade || colour(who), width: 2, dash: shade ? "solid" : DASHES[(who + Math.floor(who / 8)) % DASHES.length] },
  marker: { color: shade || colour(who), symbol: MARKERS[who % MARKERS.length], size: 7 },
  hoverlabel: { namelength: -1 },
});

/* A filled shape for each stretch that is known all through: a gap would be filled across. */
function band(who, x, low, high) {
  const traces = [];
  let start = 0;
  for (let i = 0; i <= x.length; i++) {
    if (i < x.length && low[i] !== null && high[i] !== null) continue;
    if (i - start > 1) traces.push(...stretch(who, x.slice(start, i), low.slice(start, i), high.slice(start, i)));
    start = i + 1;
  }
  return traces;
}

function stretch(who, x, low, high) {
  const edge = { x, type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: "w" + who };
  return [{ ...edge, y: low }, { ...edge, y: high, fill: "tonexty", fillcolor: faint(colour(who), 0.14) }];
}

/* Where a point's name has room. */
function beside(x, series) {
  const all = series.flatMap((one) => one.x);
  const least = Math.min(...all);
  const share = (x - least) / (Math.max(...all) - least || 1);
  return share < 0.2 ? "top right" : share > 0.8 ? "top left" : "top center";
}

function lines(series) {
  const traces = [];
  const listed = new Set();
  for (const one of series) {
    const trace = { ...look(one.who, one.shade, one.label), x: one.x, y: one.y, type: "scatter", mode: one.marks ? "lines+markers" : "lines" };
    if (one.low && !one.bars) traces.push(...band(one.who, one.x, one.low, one.high));
    if (one.shape) trace.line.shape = one.shape;
    if (one.bars) {
      const off = (ends, sign) => ends.map((end, i) => (end === null || one.y[i] === null ? 0 : sign * (end - one.y[i])));
      trace.error_y = { type: "data", array: off(one.high, 1), arrayminus: off(one.low, -1), thickness: 1.3, width: 3, color: colour(one.who) };
    }
    if (one.only) {
      trace.mode = "markers";
      trace.marker.symbol = one.only;
      trace.marker.size = one.size || 10;
      trace.marker.line = { width: 2, color: trace.marker.color };
    }
    if (one.named) {
      const text = [plain(data.names[one.who], 20)];
      Object.assign(trace, { mode: "markers+text", text, textposition: beside(one.x[0], series), cliponaxis: false, showlegend: false });
      trace.hovertemplate = "%{fullData.name}<br>%{x}, %{y}<extra></extra>";
    }
    if (one.note) trace.hovertemplate = `%{fullData.name}, ${one.note}<br>%{x}, %{y}<extra></extra>`;
    if (one.note || listed.has(one.who)) trace.showlegend = false;
    listed.add(one.who);
    traces.push(trace);
  }
  return traces;
}

/* Dotted lines of no contender. */
function guides(found) {
  const line = { width: 1.2, dash: "dot", color: variable("--soft") };
  return found.map(([x, y]) => ({ x, y, type: "scatter", mode: "lines", line, hoverinfo: "skip", showlegend: false }));
}

function bars(figure) {
  return figure.series.map((one) => ({
    type: "bar", orientation: "h", name: one.name, x: one.x, y: figure.y.labels.map((_, i) => i),
    marker: { color: figure.who ? figure.who.map(colour) : variable("--p" + (one.phase % 9)), line: { width: 1, color: variable("--paper") }, pattern: { shape: one.phase >= 9 ? "/" : "" } },
    hovertemplate: "%{fullData.name}: %{x:.3g}<extra></extra>", showlegend: !figure.who,
  }));
}

/* Trials over two hyperparameters, coloured by their metric. */
function points(figure) {
  const shared = { type: "scatter", mode: "markers", showlegend: false };
  const turned = figure.worst > figure.best;
  const colours = {
    color: figure.value, colorscale: "Viridis", reversescale: turned, size: 11, line: { width: 1, color: variable("--line") },
    cmin: Math.min(figure.worst, figure.best), cmax: Math.max(figure.worst, figure.best), showscale: true,
    colorbar: { title: { text: figure.title, side: "right", font: { size: 12 } }, thickness: 12, outlinewidth: 0 },
  };
  const ink = { color: variable("--ink") };
  return [
    { ...shared, ...figure.fine, marker: colours, text: figure.value, hovertemplate: "%{x:.3g}, %{y:.3g}: %{text}<extra></extra>" },
    { ...shared, ...figure.failed, marker: { ...ink, symbol: "x-thin", size: 9, line: { width: 2, ...ink } }, hovertemplate: "%{x:.3g}, %{y:.3g}: failed<extra></extra>" },
    { ...shared, ...figure.chosen, marker: { ...ink, symbol: "circle-open", size: 18, line: { width: 2 } }, hoverinfo: "skip" },
  ];
}

const sums = (differences) => {
  let sum = 0;
  return differences.map((more) => (sum += more));
};

function along(curve, axis) {
  if (axis === "seconds") return curve.seconds ? sums(curve.seconds).map((n) => n * curve.tick) : [];
  const steps = sums(curve.step);
  if (axis === "step") return steps;
  return typeof curve.samples === "number" ? steps.map((n) => n * curve.samples) : sums(curve.samples);
}

function curveTraces(figure, chosen) {
  const column = figure.columns[chosen.column];
  const traces = [];
  for (const one of column.bands) {
    const x = along(one, chosen.axis);
    if (one.low) traces.push(...band(one.who, x, one.low, one.high));
  }
  const alone = chosen.single || !column.bands.length;
  for (const one of alone ? column.runs : []) {
    const trace = { ...look(one.who), x: along(one, chosen.axis), y: one.value, type: "scatter", mode: "lines", showlegend: !column.bands.length };
    trace.line = { ...trace.line, width: 1 };
    trace.opacity = 0.55;
    trace.text = `seed ${Number(one.seed)}, ${plain(one.status, 24)}`;
    trace.hovertemplate = "%{fullData.name}, %{text}<br>%{x}, %{y}<extra></extra>";
    traces.push(trace);
    const ends = trace.y.reduce((last, y, i) => (y === null ? last : i), -1);
    if (one.status !== "completed" && one.status !== "stopped_at_target" && ends >= 0) {
      traces.push({ ...trace, x: [trace.x[ends]], y: [trace.y[ends]], mode: "markers", marker: { ...trace.marker, symbol: "x", size: 9 }, opacity: 1, showlegend: false });
    }
  }
  for (const one of column.bands) {
    const mode = one.value.length < 30 ? "lines+markers" : "lines";
    const trace = { ...look(one.who), x: along(one, chosen.axis), y: one.value, type: "scatter", mode };
    trace.marker.size = 5;
    traces.push(trace);
  }
  return traces;
}

const withSamples = (figure) =>
  Object.values(figure.columns).every((column) => [...column.bands, ...column.runs].every((one) => one.samples.length !== 0));

const AXES = { step: "steps", samples: "samples", seconds: "training seconds" };

function choices(plot, figure) {
  if (plot.chosen) return plot.chosen;
  const chosen = { column: Object.keys(figure.columns)[0], axis: "step", log: false, single: false };
  const bar = element("div", null, { class: "choices" });
  const select = (title, options, key) => {
    const box = element("label", title + " ");
    const list = element("select");
    for (const [value, name] of options) list.append(element("option", name, { value }));
    list.value = chosen[key];
    list.addEventListener("change", () => { chosen[key] = list.value; draw(plot); });
    box.append(list);
    bar.append(box);
  };
  const check = (title, key) => {
    const box = element("label");
    const tick = element("input", null, { type: "checkbox" });
    tick.addEventListener("change", () => { chosen[key] = tick.checked; draw(plot); });
    box.append(tick, title);
    bar.append(box);
  };
  select("Show", Object.entries(figure.columns).map(([name, column]) => [name, column.title]), "column");
  select("against", Object.entries(AXES).filter(([name]) => name !== "samples" || withSamples(figure)), "axis");
  check("log scale", "log");
  check("single seeds", "single");
  plot.before(bar);
  return (plot.chosen = chosen);
}

function axisLook(axis) {
  const look = {
    title: { text: axis.title || "", standoff: 8, font: { size: 12.5, color: variable("--soft") } },
    type: axis.type || "linear", gridcolor: variable("--line"), zeroline: false, linecolor: variable("--line"),
    tickfont: { size: 12, color: variable("--soft") }, automargin: true, hoverformat: ".5~g", exponentformat: "power",
  };
  if (axis.range) look.range = axis.range;
  if (axis.every) Object.assign(look, { tick0: 0, dtick: axis.every });
  if (axis.values) Object.assign(look, { tickvals: axis.values, ticktext: axis.values.map((n) => (n < 1 ? String(n) : n.toLocaleString("en"))) });
  if (axis.labels) Object.assign(look, { tickvals: axis.labels.map((_, i) => i), ticktext: axis.labels, showgrid: false, autorange: "reversed" });
  return look;
}

function layout(x, y) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 54, r: 14, t: 10, b: 44 }, hovermode: "closest",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: variable("--ink") },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12.5 }, itemsizing: "trace", traceorder: "normal" },
    hoverlabel: { bgcolor: variable("--raised"), bordercolor: variable("--line"), font: { color: variable("--ink") } },
    xaxis: axisLook(x), yaxis: axisLook(y), dragmode: "zoom", barmode: "stack", bargap: 0.35,
  };
}

/* Many names need room above the figure. */
function tall(traces, whole) {
  const names = traces.filter((trace) => trace.showlegend !== false).length;
  return [traces, names > MANY_NAMES ? { ...whole, height: 400 + 6 * names } : whole];
}

function specification(plot) {
  const figure = data.figures[Number(plot.dataset.figure)];
  if (figure.kind === "bars") {
    const line = { type: "line", x0: figure.line, x1: figure.line, yref: "paper", y0: 0, y1: 1, line: { color: variable("--soft"), width: 1, dash: "dot" } };
    return [bars(figure), { ...layout(figure.x, figure.y), height: 120 + 44 * figure.y.labels.length, shapes: figure.line === null ? [] : [line] }];
  }
  if (figure.kind === "points") return [points(figure), layout(figure.across, figure.up)];
  if (figure.kind === "lines") return tall([...guides(figure.guides || []), ...lines(figure.series)], layout(figure.x, figure.y));
  const chosen = choices(plot, figure);
  const column = figure.columns[chosen.column];
  const whole = layout({ title: AXES[chosen.axis] }, { title: plain(column.title, 60), type: chosen.log ? "log" : "linear" });
  const target = figure.targets[chosen.column];
  if (target !== undefined && (!chosen.log || target > 0)) {
    const y = chosen.log ? Math.log10(target) : target;
    whole.shapes = [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: target, y1: target, line: { color: variable("--soft"), width: 1, dash: "dot" } }];
    whole.annotations = [{ text: "target", xref: "paper", x: 1, xanchor: "right", y, yanchor: "bottom", showarrow: false, font: { size: 11, color: variable("--soft") } }];
  }
  return tall(curveTraces(figure, chosen), whole);
}

const SETTINGS = {
  displaylogo: false, responsive: true, displayModeBar: false, showSendToCloud: false, showEditInChartStudio: false,
};

function draw(plot) {
  const [traces, whole] = specification(plot);
  if (printing) whole.width = PRINT_WIDTH;
  if (printing && !whole.height) whole.height = PRINT_HEIGHT;
  plot.style.height = whole.height ? whole.height + "px" : "";
  drawn.add(plot);
  return Plotly.react(plot, traces, whole, SETTINGS);
}
