/* The page: its theme, its data, when figures are drawn. Text that comes from results is set as text, never as HTML. */
const root = document.documentElement;
const plots = Array.from(document.querySelectorAll(".plot"));
const drawn = new Set();
let data = null;
let printing = false;

const element = (name, text, attributes) => {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  return made;
};

/* Plotly draws a few tags and entities of a label as markup: here they stay text. */
const plain = (text, length) => {
  const whole = String(text);
  const cut = whole.length > length ? whole.slice(0, length - 1) + "…" : whole;
  return cut.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
};

async function unpack() {
  const bytes = Uint8Array.from(atob(document.getElementById("data").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

/* ---- theme ---- */

const wish = window.matchMedia("(prefers-color-scheme: dark)");
const isDark = () => !printing && (root.dataset.theme ? root.dataset.theme === "dark" : wish.matches);
const variable = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const colour = (who) => variable("--c" + who);
const faint = (hex, share) => {
  const part = (at) => parseInt(hex.slice(at, at + 2), 16);
  return `rgba(${part(1)},${part(3)},${part(5)},${share})`;
};

function themed() {
  const button = document.getElementById("theme");
  button.textContent = isDark() ? "Light" : "Dark";
  redraw();
}

function switchTheme() {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("optbench-theme", root.dataset.theme); } catch (error) { /* a page without storage */ }
  themed();
}

function rememberTheme() {
  try {
    const kept = localStorage.getItem("optbench-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch (error) { /* a page without storage */ }
}

/* ---- drawing ---- */

const redraw = () => Promise.all(Array.from(drawn, draw));
const drawAll = () => Promise.all(plots.map(draw));

/* What is looked at first is drawn first; the rest when there is time. */
function drawInTurn() {
  const queue = plots.slice();
  const next = () => {
    const plot = queue.shift();
    if (!plot) return;
    if (!drawn.has(plot)) draw(plot);
    (window.requestIdleCallback || setTimeout)(next);
  };
  const watcher = new IntersectionObserver((seen) => {
    for (const entry of seen) if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
  }, { rootMargin: "400px" });
  plots.forEach((plot) => watcher.observe(plot));
  next();
}

function forPrint(start) {
  printing = start;
  const kept = root.dataset.theme;
  if (start) {
    root.dataset.beforePrint = kept || "";
    root.dataset.theme = "light";
    drawAll();
  } else {
    if (root.dataset.beforePrint) root.dataset.theme = root.dataset.beforePrint;
    else delete root.dataset.theme;
    themed();
  }
}

/* ---- start ---- */

async function start() {
  rememberTheme();
  document.getElementById("theme").addEventListener("click", switchTheme);
  try {
    data = await unpack();
  } catch (error) {
    plots.forEach((plot) => plot.replaceWith(element("p", "This browser is too old for the figures; the tables hold their numbers.", { class: "note" })));
    return;
  }
  wish.addEventListener("change", themed);
  window.addEventListener("beforeprint", () => forPrint(true));
  window.addEventListener("afterprint", () => forPrint(false));
  themed();
  setUpRuns();
  drawInTurn();
  root.dataset.ready = "true";
}
