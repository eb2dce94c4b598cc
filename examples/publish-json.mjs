// Publishes one message and exits once the broker has it: node examples/publish-json.mjs URL SUBJECT JSON
import { connect, usernamePasswordAuthenticator } from '@nats-io/transport-node';

const [url, subject, json] = process.argv.slice(2);
const { host, username, password } = new URL(url);
const broker = await connect({
  servers: host,
  authenticator: usernamePasswordAuthenticator(username, password),
});
broker.publish(subject, json);
await broker.drain();
