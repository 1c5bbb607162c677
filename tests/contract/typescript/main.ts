// The main job, by a client that was generated from the contract. Prints what it saw as JSON.
import assert from "node:assert/strict";
import {
  createDeployment,
  createRepository,
  getDeployment,
  getDeploymentEvents,
  getImage,
  checkCluster,
  searchAudit,
  vendToken,
} from "./client";
import { client } from "./client/client.gen";
import type { DeploymentEvent, PreflightCheck, Problem, ProblemCode, RepositoryCreate } from "./client";

function given(name: string): string {
  const value = process.env[name];
  assert(value !== undefined, `${name} is not set`);
  return value;
}

function codeOf(problem: unknown): ProblemCode {
  return (problem as Problem).code;
}

async function lastEvent(id: string): Promise<DeploymentEvent> {
  const { stream } = await getDeploymentEvents({ path: { deployment_id: id } });
  let last: unknown;
  for await (const event of stream) last = event;
  return last as DeploymentEvent;
}

async function main(): Promise<void> {
  client.setConfig({ baseUrl: given("URL"), auth: () => given("KEY") });

  const body: RepositoryCreate = { name: "team/web", tag_mutability: "IMMUTABLE" };
  const headers = { "idempotency-key": "build-1" };
  const made = await createRepository({ body, headers, throwOnError: true });
  const again = await createRepository({ body, headers, throwOnError: true });
  const taken = await createRepository({ body });
  const token = await vendToken({ body: { repositories: ["team/web"], actions: ["pull"] }, throwOnError: true });

  const image = await getImage({ path: { reference: "team/app:1" }, throwOnError: true });
  const preflight = await checkCluster({
    path: { name: "demo" },
    query: { image: image.data.uri },
    throwOnError: true,
  });
  const checks: PreflightCheck[] = preflight.data.checks;
  const accepted = await createDeployment({
    body: { cluster: "demo", name: "app", image: image.data.uri, port: 8080, replicas: 2 },
    throwOnError: true,
  });
  assert("id" in accepted.data);
  const event = await lastEvent(accepted.data.id);
  const deployment = await getDeployment({ path: { deployment_id: accepted.data.id }, throwOnError: true });
  const missing = await createDeployment({ body: { cluster: "demo", name: "app", image: "team/app:9", port: 8080 } });
  const trail = await searchAudit({ query: { action: "repository.create" }, throwOnError: true });

  console.log(
    JSON.stringify({
      uri: made.data.uri,
      replayed: [again.data.uri, again.response?.headers.get("idempotency-replayed")],
      taken: codeOf(taken.error),
      token: [token.data.username, token.data.repositories],
      checks: checks.map((one) => one.name),
      event: event.type,
      deployment: [deployment.data.status, deployment.data.digest === image.data.digest],
      missing: codeOf(missing.error),
      trail: trail.data.items.map((entry) => entry.status),
    }),
  );
}

void main();
