// The page's own behaviour: sorting, the confusion matrix, charts by Plotly, and one viewer for the chosen shape's points.
"use strict";
const report = JSON.parse(document.getElementById("report-data").textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function element(tag, attributes = {}, text = "") {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

// Tables: a click on a heading sorts; cells without a value stay last.
function sortBy(heading) {
  const table = heading.closest("table");
  const column = heading.cellIndex;
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const each of all("th[aria-sort]", table)) each.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (first, second) => {
    const [a, b] = [key(first), key(second)];
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    return ascending ? order : -order;
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
}
for (const heading of all("th[aria-sort]"))
  heading.querySelector("button").addEventListener("click", () => sortBy(heading));

// The confusion matrix: rows are labels, columns predictions; pointer and arrow keys read a cell out.
const matrix = document.getElementById("matrix");
function drawMatrix() {
  const run = report.confusion[document.getElementById("matrix-run").value];
  const order = run.orders[document.getElementById("matrix-order").value];
  const shares = document.getElementById("matrix-unit").value === "share";
  const table = element("table", { role: "grid", "aria-label": `Confusion matrix of ${run.label}` });
  const head = table.createTHead().insertRow();
  head.append(element("td"));
  for (const column of order) {
    const heading = element("th", { scope: "col" });
    heading.append(element("span", {}, report.classes[column]));
    head.append(heading);
  }
  const body = table.createTBody();
  for (const row of order) {
    const counts = run.counts[row];
    const total = counts.reduce((sum, count) => sum + count, 0);
    const line = body.insertRow();
    line.append(element("th", { scope: "row" }, report.classes[row]));
    for (const column of order) {
      const count = counts[column];
      const shown = shares ? Math.round((100 * count) / total) : count;
      const cell = element("td", { tabindex: -1 }, count ? shown : "");
      if (count) cell.className = row === column ? "right" : "wrong";
      cell.style.setProperty("--share", total ? count / total : 0);
      cell.dataset.text =
        `${report.classes[row]} (${total}): ${count} ` +
        (row === column ? "right" : `taken for ${report.classes[column]}`) +
        (total ? `, ${percent(count / total)}` : "");
      cell.setAttribute("aria-label", cell.dataset.text);
      line.append(cell);
    }
  }
  body.rows[0].cells[1].tabIndex = 0;
  table.classList.toggle("dense", order.length > 20);
  matrix.replaceChildren(table);
}
function light(cell) {
  for (const each of all(".lit", matrix)) each.classList.remove("lit");
  document.getElementById("matrix-readout").textContent = cell.dataset.text;
  cell.parentElement.cells[0].classList.add("lit");
  matrix.querySelector("thead tr").cells[cell.cellIndex].classList.add("lit");
}
for (const id of ["matrix-run", "matrix-order", "matrix-unit"])
  document.getElementById(id).addEventListener("change", drawMatrix);
for (const kind of ["pointerover", "focusin"])
  matrix.addEventListener(kind, (event) => event.target.dataset.text && light(event.target));
matrix.addEventListener("keydown", (event) => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  const row = event.target.parentElement;
  if (!step || !event.target.dataset.text) return;
  event.preventDefault();
  const next = matrix.querySelector("tbody").rows[row.sectionRowIndex + step[0]]?.cells[event.target.cellIndex + step[1]];
  if (!next?.dataset.text) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
drawMatrix();

// The gallery's filter.
const filter = document.getElementById("error-filter");
filter?.addEventListener("change", () => {
  const [who, right] = filter.value.split(":");
  const items = report.errors;
  all(".errors article").forEach((article, place) => {
    article.hidden = filter.value !== "" && items[place].kinds[report.voices[who]] !== (right === "right");
  });
});

// Points in 3-D: one viewer that moves to the shape asked for (browsers keep few WebGL contexts alive).
const EYE = { x: 1, y: -1, z: 0.55 };
const viewer = document.getElementById("viewer");
const cloud = document.getElementById("cloud");
const scale = [[0, "#3f8fd9"], [0.5, "#c255a8"], [1, "#d9730d"]];
function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const axes = [[], [], []];
  for (let at = 0; at < bytes.length; at += 2) axes[(at / 2) % 3].push(view.getInt16(at, true) / 32767);
  return axes;
}
function show(place, focus = true) {
  const article = all(".errors article")[place];
  const button = article.querySelector(".turn");
  const before = document.querySelector("article.open");
  before?.classList.remove("open");
  if (before) before.querySelector(".turn").hidden = false;
  button.hidden = true;
  article.classList.add("open");
  article.append(viewer);
  viewer.hidden = false;
  const [x, y, z] = unpack(report.errors[place].points);
  const axis = { visible: false, range: [-1, 1] };
  const layout = {
    margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", height: 288, autosize: true,
    scene: { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "cube", dragmode: "turntable", camera: { eye: { ...EYE } } },
  };
  const marker = { size: 2.5, color: z, colorscale: scale };
  const data = [{ type: "scatter3d", mode: "markers", x, y, z, marker, hoverinfo: "skip" }];
  cloud.setAttribute("aria-label",
    `Points of ${report.errors[place].name} in 3-D: arrow keys turn them, plus and minus move closer and away, 0 goes back`);
  Plotly.react(cloud, data, layout, { displayModeBar: false, responsive: true });
  if (focus) cloud.focus();  // which also scrolls it into sight
}
function turn(around, up, nearer) {
  const now = cloud.layout.scene.camera.eye;
  const radius = Math.min(6, Math.max(0.6, Math.hypot(now.x, now.y, now.z) * nearer));
  const side = Math.atan2(now.y, now.x) + around;
  const height = Math.min(1.5, Math.max(-1.5, Math.asin(now.z / Math.hypot(now.x, now.y, now.z)) + up));
  const eye = { x: radius * Math.cos(height) * Math.cos(side), y: radius * Math.cos(height) * Math.sin(side), z: radius * Math.sin(height) };
  Plotly.relayout(cloud, { "scene.camera.eye": eye });
}
const moves = {
  ArrowLeft: [0.2, 0, 1], ArrowRight: [-0.2, 0, 1], ArrowUp: [0, -0.2, 1], ArrowDown: [0, 0.2, 1],
  "+": [0, 0, 0.85], "=": [0, 0, 0.85], "-": [0, 0, 1.18],
};
function move(key) {
  if (key === "0") Plotly.relayout(cloud, { "scene.camera": { eye: { ...EYE } } });
  else if (moves[key]) turn(...moves[key]);
  return key === "0" || key in moves;
}
function hasWebGL() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
}
function prepareViewer() {
  if (!viewer) return;
  if (!hasWebGL()) {
    document.getElementById("no-webgl").hidden = false;
    return;
  }
  all(".errors .turn").forEach((button, place) => {
    button.hidden = false;
    button.addEventListener("click", () => show(place));
  });
  cloud.addEventListener("keydown", (event) => move(event.key) && event.preventDefault());
  for (const button of all("[data-key]", viewer)) button.addEventListener("click", () => move(button.dataset.key));
  const first = new IntersectionObserver((seen) => {
    if (!seen.some((each) => each.isIntersecting)) return;
    first.disconnect();
    if (viewer.hidden) show(0, false);
  }, { rootMargin: "50%" });
  first.observe(document.querySelector(".errors"));
}

// Charts: Plotly travels compressed; the browser unpacks it.
const charts = () => all(".chart");
async function drawCharts() {
  const packed = await fetch(`data:application/gzip;base64,${document.getElementById("plotly").textContent}`);
  const script = await new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(element("script", {}, script));
  for (const chart of charts()) {
    const { data, layout } = report.figures[chart.dataset.figure];
    await Plotly.newPlot(chart, data, layout, { displayModeBar: false, responsive: true });
  }
  prepareViewer();
}
const drawn = () => document.body.dataset.ready === "yes";
const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
addEventListener("beforeprint", () => drawn() && charts().forEach((chart) => Plotly.relayout(chart, { width: 330 })));
addEventListener("afterprint", () => drawn() && charts().forEach((chart) => Plotly.relayout(chart, { width: null, autosize: true })));
painted().then(drawCharts).then(
  () => { document.body.dataset.ready = "yes"; },
  (error) => {
    const text = "DecompressionStream" in window ? String(error) : "the charts need a browser of 2023 or later";
    all(".charts").forEach((each) => each.before(element("p", { class: "note", role: "alert" }, text)));
  },
);
