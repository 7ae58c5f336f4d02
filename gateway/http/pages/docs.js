/** Shows the hub's OpenAPI document: routes, fields, examples of requests, answers and errors. */

const routes = document.getElementById("routes");
const form = document.getElementById("key");
const problem = document.getElementById("problem");

/** An element with text and children; text is never taken for HTML. */
function element(name, text = "", ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** What a schema points at. */
function resolved(schema, components) {
  const name = schema?.$ref?.replace("#/components/schemas/", "");
  return name ? components[name] : schema;
}

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" | ");
  if (schema.items) return `list of ${typeOf(schema.items)}`;
  return schema.type ?? "any";
}

function fields(schema, components) {
  const found = resolved(schema, components);
  const table = element("table");
  for (const [name, value] of Object.entries(found?.properties ?? {})) {
    const needed = found.required?.includes(name) ? "needed" : "";
    table.append(element("tr", "", element("td", name), element("td", typeOf(value)), element("td", needed)));
  }
  return table;
}

function examplesOf(content) {
  const given = Object.entries(content.examples ?? {}).map(([name, one]) => [name, one.value]);
  return content.example === undefined ? given : [["", content.example], ...given];
}

function contents(title, content, components) {
  const shown = [];
  for (const [type, one] of Object.entries(content ?? {})) {
    shown.push(element("h3", `${title}: ${type}`), fields(one.schema, components));
    for (const [name, value] of examplesOf(one)) {
      if (name) shown.push(element("p", name));
      shown.push(element("pre", asText(value)));
    }
  }
  return shown;
}

function operation(verb, path, told, components) {
  const head = element("summary", "", element("span", verb.toUpperCase()), element("code", path), element("span", told.summary));
  head.firstChild.className = "verb";
  const made = element("details", "", head);
  for (const parameter of told.parameters ?? []) {
    made.append(element("p", `${parameter.name} (${parameter.in}): ${parameter.description}`));
  }
  made.append(...contents("Request", told.requestBody?.content, components));
  for (const [status, answer] of Object.entries(told.responses)) {
    made.append(...contents(`${status} ${answer.description}`, answer.content, components));
  }
  return made;
}

function show(told) {
  const components = told.components.schemas;
  const groups = new Map(told.tags.map(({ name }) => [name, element("section", "", element("h2", name))]));
  for (const [path, verbs] of Object.entries(told.paths)) {
    for (const [verb, one] of Object.entries(verbs)) {
      groups.get(one.tags[0]).append(operation(verb, path, one, components));
    }
  }
  routes.replaceChildren(...groups.values());
}

async function ask(key) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const response = await fetch("/openapi.json", { headers });
  form.hidden = response.ok;
  if (response.ok) show(await response.json());
  else problem.textContent = key ? (await response.json()).detail : "This hub asks for an API key.";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(new FormData(form).get("key"));
});
ask("");
