// Optional features of the pages: filter and sort tables, and name the port under
// the pointer.
"use strict";

// makeSortable sorts the table by a column when its head is clicked. The sort key
// of a cell is its data-v or its text. The sort is stable.
function makeSortable(table) {
  const body = table.tBodies[0];
  const key = (row, column, kind) => {
    const cell = row.cells[column];
    const value = cell === undefined ? "" : cell.dataset.v ?? cell.textContent.trim();
    if (kind !== "number") return value;
    return value === "" ? Number.NEGATIVE_INFINITY : Number.parseFloat(value.replaceAll(",", ""));
  };
  const order = new Intl.Collator("en", { numeric: true });
  for (const head of table.tHead.rows[0].cells) {
    const kind = head.dataset.sort;
    if (!kind) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].filter((row) => !row.classList.contains("all"));
      const keys = new Map(rows.map((row) => [row, key(row, head.cellIndex, kind)]));
      rows.sort((a, b) => {
        const x = keys.get(a), y = keys.get(b);
        const by = kind === "number" ? (x === y ? 0 : x < y ? -1 : 1) : order.compare(x, y);
        return down ? -by : by;
      });
      body.append(...rows);
    });
  }
}

// makeFilterable hides the rows whose data-f lacks a word of the filter. The URL
// stores the filter, so that it survives a reload and can be shared.
function makeFilterable(form, table) {
  const text = form.querySelector("#filter"), status = form.querySelector("#status"), count = form.querySelector("#count");
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.dataset.f.toLowerCase() }));
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matches = 0;
    for (const r of rows) {
      const fits = (!status.value || r.row.classList.contains(status.value)) && words.every((w) => r.text.includes(w));
      r.row.hidden = !fits;
      if (fits) matches++;
    }
    count.textContent = `${matches} of ${rows.length}`;
    const stored = new URLSearchParams();
    if (text.value) stored.set("filter", text.value);
    if (status.value) stored.set("status", status.value);
    history.replaceState(null, "", stored.size ? `#${stored}` : location.pathname + location.search);
  };
  const stored = new URLSearchParams(location.hash.slice(1));
  text.value = stored.get("filter") ?? "";
  if ([...status.options].some((o) => o.value === stored.get("status"))) status.value = stored.get("status");
  form.addEventListener("submit", (e) => e.preventDefault());
  form.addEventListener("input", apply);
  form.hidden = false;
  apply();
}

// namePorts shows the class of the port under the pointer, or in the field. The
// legend of the map has the classes.
function namePorts(map) {
  const side = 256, picture = map.querySelector(".picture"), cross = map.querySelector("#cross");
  const field = map.querySelector("#port"), output = map.querySelector("#portname");
  const names = [], classes = new Uint8Array(side * side);
  for (const cell of map.querySelectorAll("[data-class]")) {
    const index = names.push(cell.dataset.class) - 1;
    for (const range of cell.querySelector("span").textContent.split(",")) {
      const [lo, hi] = range.trim().split("-").map(Number);
      if (lo) classes.fill(index, lo, (hi ?? lo) + 1);
    }
  }
  const showPort = (port) => {
    const x = port % side, y = Math.floor(port / side);
    cross.setAttribute("d", `M${x - 1} ${y - 1}h3v3h-3zM${x + 0.5} ${y - 7}v5M${x + 0.5} ${y + 3}v5M${x - 7} ${y + 0.5}h5M${x + 3} ${y + 0.5}h5`);
    output.textContent = port === 0 ? "Port 0: never scanned" : `Port ${port}: ${names[classes[port]]}`;
    return rowsOf(port);
  };
  const rowsOf = (port) => document.querySelectorAll(`table.ports tr[data-port="${port}"]`);
  const portAt = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    const x = Math.floor(at.x), y = Math.floor(at.y);
    return x < 0 || y < 0 || x >= side || y >= side ? undefined : y * side + x;
  };
  picture.addEventListener("pointermove", (event) => {
    const port = portAt(event);
    if (port === undefined) return;
    field.value = port;
    showPort(port);
  });
  picture.addEventListener("click", (event) => {
    const port = portAt(event);
    if (port === undefined) return;
    field.value = port;
    for (const row of document.querySelectorAll("tr.here")) row.classList.remove("here");
    const rows = showPort(port);
    for (const row of rows) row.classList.add("here");
    rows[0]?.scrollIntoView({ block: "center" });
  });
  field.addEventListener("input", () => {
    const port = Number(field.value);
    if (field.value !== "" && Number.isInteger(port) && port >= 0 && port < side * side) showPort(port);
    else output.textContent = "";
  });
  map.querySelector(".find").hidden = false;
}

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
const controls = document.getElementById("controls");
if (controls) makeFilterable(controls, document.getElementById("targets"));
const portmap = document.getElementById("portmap");
if (portmap) namePorts(portmap);

// Going back from a probe must show its result, not the cached page.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
