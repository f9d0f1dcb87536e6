// Verifies the message on stdin ({body, headers}) with the secret given; prints the type, or why not.
const { Webhook } = require("standardwebhooks");

const { body, headers } = JSON.parse(require("fs").readFileSync(0, "utf8"));
try {
  console.log(new Webhook(process.argv[2]).verify(body, headers).type);
} catch (error) {
  console.log(error.name || error.constructor.name);
}
