// What the pages can do beyond what they say without it: filter and sort tables, and name
// the port under the pointer.
"use strict";

// Sorting. What a cell sorts by is its data-v, or else its text. Where both are alike the
// order stays.
function sortable(table) {
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
      const rows = [...body.rows].filter((row) => !row.classList.contains("every"));
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

// Filtering. The words of the filter have to be among those that a row is found by,
// its data-f, in any order. The filter is kept in the address, so that it outlives a reload
// and can be passed on.
function filterable(form, table) {
  const text = form.querySelector("#filter"), verdict = form.querySelector("#verdict"), shown = form.querySelector("#shown");
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.dataset.f.toLowerCase() }));
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const r of rows) {
      const fits = (!verdict.value || r.row.classList.contains(verdict.value)) && words.every((w) => r.text.includes(w));
      r.row.hidden = !fits;
      if (fits) count++;
    }
    shown.textContent = `${count} of ${rows.length}`;
    const kept = new URLSearchParams();
    if (text.value) kept.set("filter", text.value);
    if (verdict.value) kept.set("verdict", verdict.value);
    history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname + location.search);
  };
  const before = new URLSearchParams(location.hash.slice(1));
  text.value = before.get("filter") ?? "";
  if ([...verdict.options].some((o) => o.value === before.get("verdict"))) verdict.value = before.get("verdict");
  form.addEventListener("submit", (e) => e.preventDefault());
  form.addEventListener("input", apply);
  form.hidden = false;
  apply();
}

// The picture of all ports: what is under the pointer, or typed into the field, is looked up
// in the table beside it, which says it in words.
function namePorts(map) {
  const side = 256, picture = map.querySelector(".picture"), cross = map.querySelector("#cross");
  const field = map.querySelector("#port"), said = map.querySelector("#said");
  const names = [], classes = new Uint8Array(side * side);
  for (const cell of map.querySelectorAll("[data-class]")) {
    const index = names.push(cell.dataset.class) - 1;
    for (const range of cell.querySelector("span").textContent.split(",")) {
      const [lo, hi] = range.trim().split("-").map(Number);
      if (lo) classes.fill(index, lo, (hi ?? lo) + 1);
    }
  }
  const say = (port) => {
    const x = port % side, y = Math.floor(port / side);
    cross.setAttribute("d", `M${x - 1} ${y - 1}h3v3h-3zM${x + 0.5} ${y - 7}v5M${x + 0.5} ${y + 3}v5M${x - 7} ${y + 0.5}h5M${x + 3} ${y + 0.5}h5`);
    said.textContent = port === 0 ? "Port 0: never scanned" : `Port ${port}: ${names[classes[port]]}`;
    return rowsOf(port);
  };
  const rowsOf = (port) => document.querySelectorAll(`table.ports tr[data-port="${port}"]`);
  const under = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    const x = Math.floor(at.x), y = Math.floor(at.y);
    return x < 0 || y < 0 || x >= side || y >= side ? undefined : y * side + x;
  };
  picture.addEventListener("pointermove", (event) => {
    const port = under(event);
    if (port === undefined) return;
    field.value = port;
    say(port);
  });
  picture.addEventListener("click", (event) => {
    const port = under(event);
    if (port === undefined) return;
    field.value = port;
    for (const row of document.querySelectorAll("tr.here")) row.classList.remove("here");
    const rows = say(port);
    for (const row of rows) row.classList.add("here");
    rows[0]?.scrollIntoView({ block: "center" });
  });
  field.addEventListener("input", () => {
    const port = Number(field.value);
    if (field.value !== "" && Number.isInteger(port) && port >= 0 && port < side * side) say(port);
    else said.textContent = "";
  });
  map.querySelector(".find").hidden = false;
}

for (const table of document.querySelectorAll("table.sortable")) sortable(table);
const controls = document.getElementById("controls");
if (controls) filterable(controls, document.getElementById("targets"));
const portmap = document.getElementById("portmap");
if (portmap) namePorts(portmap);

// Who comes back from a probe is to see what it has shown, and not the page of before.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
