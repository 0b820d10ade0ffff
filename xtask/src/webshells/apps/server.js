const { execFileSync } = require('child_process');
const fs = require('fs');
const http = require('http');
const path = require('path');

const PLACE = path.join(__dirname, 'plugins');

function upload(body) {
  const text = body.toString('latin1');
  const name = /filename="([^"]+)"/.exec(text)[1];
  const start = text.indexOf('\r\n\r\n') + 4;
  // As careless as such pages are: the name is the visitor's.
  fs.writeFileSync(path.join(PLACE, name), text.slice(start, text.lastIndexOf('\r\n--')));
  return 'stored';
}

function answer(url, body) {
  const [, first, second] = url.pathname.split('/');
  if (first === 'upload') return upload(body);
  if (first === 'thumb') return execFileSync('gm', ['version']).toString().split('\n')[0];
  if (first === 'plugin') return require(path.join(PLACE, `${second}.js`)).run(url.searchParams);
  return '<h1>Welcome</h1>';
}

http
  .createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      try {
        response.end(answer(new URL(request.url, 'http://x'), Buffer.concat(parts)));
      } catch (error) {
        response.writeHead(500);
        response.end(String(error));
      }
    });
  })
  .listen(3000, '0.0.0.0');
