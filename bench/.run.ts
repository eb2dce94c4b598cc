import { benches } from './ingest.ts';
const [id, seconds, pairs] = process.argv.slice(2);
console.log(await benches.find(b=>b.id===id)!.run({seconds:Number(seconds), pairs:Number(pairs)}));
