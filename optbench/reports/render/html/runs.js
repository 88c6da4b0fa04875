/* The list of runs: words to filter by, columns to sort by, each run to open. */
const PAGE = 50;
const listing = { rows: [], words: [], sort: null, down: false, shown: PAGE };
const COLUMNS = Array.from(document.querySelectorAll("#runs-table thead button"), (button) => button.dataset.sort);
const MEASURED = new Set(["val", "test", "train_seconds"]);
const NUMBERS = new Set(["trial", "seed", "budget", ...MEASURED]);
const figure = (value, key) => {
  if (value === null) return "–";
  return typeof value === "number" && MEASURED.has(key) ? value.toPrecision(4) : String(value);
};

function compare(a, b) {
  const [x, y] = [a[listing.sort], b[listing.sort]];
  if (x === null || y === null) return (x === null) - (y === null);
  const order = typeof x === "number" && typeof y === "number" ? x - y : String(x) < String(y) ? -1 : String(x) > String(y) ? 1 : 0;
  return listing.down ? -order : order;
}

function found() {
  const rows = data.runs.filter((run) => listing.words.every((word) => run.searched.includes(word)));
  return listing.sort ? rows.sort(compare) : rows;
}

function list() {
  const body = document.querySelector("#runs-table tbody");
  const rows = found();
  body.replaceChildren(...rows.slice(0, listing.shown).map(row));
  document.getElementById("found").textContent = `${rows.length} of ${data.runs.length} runs`;
  document.getElementById("more").hidden = rows.length <= listing.shown;
}

function who(run) {
  const box = element("span", null, { class: "who" });
  box.append(element("i", null, { class: "dot c" + run.who, "aria-hidden": "true" }), element("bdi", run.contender));
  return box;
}

function row(run) {
  const line = element("tr");
  for (const key of COLUMNS) {
    const cell = element("td", null, NUMBERS.has(key) ? { class: "num" } : {});
    if (key === "contender") cell.append(who(run));
    else if (key === "run_id") {
      const open = element("button", run.run_id, { type: "button", "aria-expanded": "false" });
      open.addEventListener("click", () => toggle(line, run, open));
      cell.append(open);
    } else cell.textContent = figure(run[key], key);
    if (key === "status" && run.reason) cell.classList.add("bad");
    line.append(cell);
  }
  return line;
}

function toggle(line, run, button) {
  const next = line.nextElementSibling;
  const open = next && next.classList.contains("detail");
  button.setAttribute("aria-expanded", String(!open));
  if (open) next.remove();
  else line.after(detail(run));
}

function detail(run) {
  const line = element("tr", null, { class: "detail" });
  const cell = element("td", null, { colspan: COLUMNS.length });
  const inside = element("div", null, { class: "inside" });
  const box = document.querySelector("#runs-table").parentElement;
  inside.style.setProperty("--seen", box.clientWidth + "px");
  if (run.reason) inside.append(element("p", run.reason, { class: "bad" }));
  inside.append(element("p", `study ${run.study} · ${run.hardware} · ${run.folder}`, { class: "facts" }));
  inside.append(copied("Command", run.command), copied("Resolved config", run.config));
  cell.append(inside);
  line.append(cell);
  return line;
}

function copied(title, text) {
  const part = element("div");
  const button = element("button", "Copy", { type: "button", "aria-label": "Copy: " + title });
  button.addEventListener("click", () => copy(text, button));
  const head = element("p", title + " ", { class: "over" });
  head.append(button);
  part.append(head, element("pre", text, { tabindex: "0" }));
  return part;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch (error) { /* a page from a file, or an old browser */
    const area = element("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function setUpRuns() {
  const filter = document.getElementById("filter");
  if (!filter) return;
  for (const run of data.runs) run.searched = COLUMNS.concat("reason", "hardware").map((key) => run[key]).join(" ").toLowerCase();
  filter.addEventListener("input", () => {
    listing.words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    listing.shown = PAGE;
    list();
  });
  document.getElementById("more").addEventListener("click", () => { listing.shown += 4 * PAGE; list(); });
  for (const button of document.querySelectorAll("#runs-table thead button")) button.addEventListener("click", () => sortBy(button));
  list();
}

function sortBy(button) {
  listing.down = listing.sort === button.dataset.sort && !listing.down;
  listing.sort = button.dataset.sort;
  for (const head of document.querySelectorAll("#runs-table thead th")) head.setAttribute("aria-sort", "none");
  button.parentElement.setAttribute("aria-sort", listing.down ? "descending" : "ascending");
  list();
}
