// Answers requests, one line of JSON each: `renew` with a JWKS, or `verify` of a token.
import { createInterface } from "node:readline";

export async function serve({ verify, renew = () => {} }) {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    let answer = {};
    if (request.renew) {
      await renew(request.jwks);
    } else {
      try {
        answer = { subject: await verify(request.token) };
      } catch (refusal) {
        answer = { refused: `${refusal.constructor.name}: ${refusal.message}` };
      }
    }
    console.log(JSON.stringify(answer));
  }
}
