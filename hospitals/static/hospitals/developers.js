// A button to copy each sample, and the list of operations.
for (const sample of document.querySelectorAll(".guide pre")) {
  const frame = document.createElement("div");
  frame.className = "sample";
  sample.replaceWith(frame);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "复制";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(sample.textContent);
    button.textContent = "已复制";
    setTimeout(() => { button.textContent = "复制"; }, 2000);
  });
  frame.append(sample, button);
}

const place = document.getElementById("operations");
window.SwaggerUIBundle({ url: place.dataset.schema, domNode: place, deepLinking: true, validatorUrl: null });
