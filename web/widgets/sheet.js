/** A labelled picture of a comparison, to copy or to save. */

/**
 * @param {{name: string, url: string}[]} columns
 * @returns {Promise<Blob>} a PNG
 */
export async function compose(columns, label, title) {
  const pictures = await Promise.all(columns.map((c) => load(c.url)));
  const height = Math.max(384, ...pictures.map((p) => p.naturalHeight)), gap = 12, margin = 24;
  const widths = pictures.map((p) => Math.round((p.naturalWidth * height) / p.naturalHeight));
  const head = (title ? 44 : 0) + 36, foot = label ? 44 : margin;
  const canvas = Object.assign(document.createElement("canvas"), { width: margin * 2 + widths.reduce((a, b) => a + b) + gap * (widths.length - 1), height: head + height + foot + margin / 2 });
  const pen = canvas.getContext("2d"), width = canvas.width - 2 * margin;
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = "high";
  const write = (text, x, y, font, most) => ((pen.font = `${font} system-ui, sans-serif`), pen.fillText(text, x, y, most));
  pen.fillStyle = "#181a1f";
  if (title) write(title, margin, 40, "600 26px", width);
  let x = margin;
  for (const [i, picture] of pictures.entries()) {
    pen.fillStyle = "#565c68";
    write(columns[i].name, x, head - 10, "19px", widths[i]);
    pen.drawImage(picture, x, head, widths[i], height);
    x += widths[i] + gap;
  }
  pen.fillStyle = "#181a1f";
  if (label) write(label, margin, head + height + 32, "20px", width);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** Puts the picture on the clipboard; says how it went. */
export async function copyImage(blob) {
  if (!navigator.clipboard?.write) return "This browser cannot copy pictures; use Save";
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
  return "Copied";
}

/** Offers the picture as a download. */
export async function saveImage(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name.replace(/[^\p{L}\p{N} ,.()_-]+/gu, "_").slice(0, 120) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return "Saved";
}

function load(url) {
  return new Promise((done, fail) => {
    const picture = new Image();
    picture.onload = () => done(picture);
    picture.onerror = fail;
    picture.src = url;
  });
}
