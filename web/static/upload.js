// Packs a folder in the browser as tar.gz, sends it, and puts the address of the upload into the form.
"use strict";

(() => {
  const box = document.querySelector("[data-upload]");
  if (!box || typeof CompressionStream === "undefined") return;
  const form = box.closest("form");
  const state = box.querySelector("[data-upload-state]");
  const encoder = new TextEncoder();
  const LEFT_OUT = /(^|\/)(\.git|node_modules|__pycache__|\.venv|\.DS_Store)(\/|$)/;
  box.hidden = false;

  function header(name, size, type = "0") {
    const block = new Uint8Array(512);
    const put = (text, at, length) => block.set(encoder.encode(text).subarray(0, length), at);
    put(name, 0, 100);
    put("0000644\0", 100, 8);
    put("0000000\0", 108, 8);
    put("0000000\0", 116, 8);
    put(`${size.toString(8).padStart(11, "0")}\0`, 124, 12);
    put("00000000000\0", 136, 12);
    put("        ", 148, 8);
    put(type, 156, 1);
    put("ustar\x0000", 257, 8);
    const sum = block.reduce((total, byte) => total + byte, 0);
    put(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
    return block;
  }

  const padding = (size) => new Uint8Array((512 - (size % 512)) % 512);

  // A name that does not fit the old header stands in a record of its own before the file.
  function entry(name, file) {
    const bytes = encoder.encode(name);
    const parts = [];
    if (bytes.length > 100) {
      let record = "";
      let length = bytes.length + 8;
      while (`${length}`.length + bytes.length + 7 !== length) length = `${length}`.length + bytes.length + 7;
      record = encoder.encode(`${length} path=${name}\n`);
      parts.push(header("pax", record.length, "x"), record, padding(record.length));
    }
    parts.push(header(name, file.size), file, padding(file.size));
    return parts;
  }

  async function send(files) {
    const parts = [];
    let count = 0;
    for (const file of files) {
      const path = file.webkitRelativePath.split("/").slice(1).join("/");
      if (!path || LEFT_OUT.test(path)) continue;
      parts.push(...entry(path, file));
      count += 1;
    }
    if (!count) throw new Error("There is nothing in that folder to deploy.");
    parts.push(new Uint8Array(1024));
    state.textContent = `Packing ${count} files…`;
    const packed = new Blob(parts).stream().pipeThrough(new CompressionStream("gzip"));
    const body = await new Response(packed).blob();
    state.textContent = `Sending ${count} files, ${Math.ceil(body.size / 1000)} kB…`;
    const answer = await fetch("/api/v1/uploads", {
      method: "POST",
      body,
      headers: {
        "Content-Type": "application/gzip",
        "X-CSRF-Token": form.elements.csrf_token.value,
      },
    });
    const told = await answer.json();
    if (!answer.ok) throw new Error([told.detail, told.hint].filter(Boolean).join(". "));
    form.elements.source.value = told.source;
    form.elements.ref.value = "";
    state.textContent = `${count} files are there. Go on with “Show the plan”.`;
  }

  box.querySelector("input").addEventListener("change", async (event) => {
    try {
      await send(event.target.files);
    } catch (error) {
      state.textContent = error.message;
    }
  });
})();
