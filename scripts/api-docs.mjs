// Renders docs/api.md from the contracts' own comments: services, methods with their policy, messages with the rules of
// their fields, enums and error reasons.
import { createFileRegistry, fromBinary, getOption, hasOption } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

const AUDIT = ['', 'none', 'batched', 'required'];
const CRITICALITY = ['', 'critical', 'high', 'normal', 'bulk'];
const UNIT = ['', 'items', 'KiB', 'nodes', 'cell steps'];

/** Leading comments of a file by the path of the element, `4,0,2,1`. */
function commentsOf(file) {
  const comments = new Map();
  for (const location of file.sourceCodeInfo?.location ?? [])
    comments.set(location.path.join(','), location.leadingComments.trim().replace(/\s*\n\s*/g, ' '));
  return comments;
}

const escapePipes = (text) => text.replace(/\|/g, '\\|');
const short = (name) => name.replace(/^homeostat\./, '');

function typeOf(field) {
  const scalar = [
    '',
    'double',
    'float',
    'int64',
    'uint64',
    'int32',
    'fixed64',
    'fixed32',
    'bool',
    'string',
    '',
    '',
    'bytes',
    'uint32',
    '',
    'sfixed32',
    'sfixed64',
    'sint32',
    'sint64',
  ];
  const one = (kind, of) =>
    kind === 'message'
      ? short(of.message.typeName)
      : kind === 'enum'
        ? short(of.enum.typeName)
        : scalar[of.scalar];
  if (field.fieldKind === 'map') return `map<${scalar[field.mapKey]}, ${one(field.mapKind, field)}>`;
  if (field.fieldKind === 'list') return `${one(field.listKind, field)}[]`;
  return one(field.fieldKind, field);
}

function rulesOf(field, rulesExtension) {
  if (!hasOption(field, rulesExtension)) return '';
  const rules = getOption(field, rulesExtension);
  const parts = [];
  if (rules.required) parts.push('required');
  if (rules.finite) parts.push('finite');
  if (rules.gt !== undefined) parts.push(`> ${rules.gt}`);
  if (rules.gte !== undefined) parts.push(`>= ${rules.gte}`);
  if (rules.lt !== undefined) parts.push(`< ${rules.lt}`);
  if (rules.lte !== undefined) parts.push(`<= ${rules.lte}`);
  if (rules.minLength !== undefined) parts.push(`length >= ${rules.minLength}`);
  if (rules.maxLength !== undefined) parts.push(`length <= ${rules.maxLength}`);
  if (rules.minItems !== undefined) parts.push(`items >= ${rules.minItems}`);
  if (rules.maxItems !== undefined) parts.push(`items <= ${rules.maxItems}`);
  if (rules.pattern) parts.push(`\`${rules.pattern}\``);
  if (rules.defined) parts.push('defined');
  if (rules.uuid) parts.push('UUID');
  return parts.join(', ');
}

function costOf(cost) {
  const growing = cost.per > 0 ? `, 1 per ${cost.per} ${UNIT[cost.unit]}` : '';
  return `${cost.base}${growing}`;
}

/** docs/api.md for a serialised FileDescriptorSet. */
export function renderApi(bytes) {
  const set = fromBinary(FileDescriptorSetSchema, bytes);
  const registry = createFileRegistry(set);
  const policyExtension = registry.getExtension('homeostat.options.v1.policy');
  const rulesExtension = registry.getExtension('homeostat.options.v1.rules');
  const files = [...registry.files]
    .filter(
      (file) => file.proto.package.startsWith('homeostat.') && !file.proto.package.includes('.options.'),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const out = [
    '# API',
    '',
    'Made from the comments of the contracts in `proto/` by `npm run gen`. Durations in rules are in seconds.',
    '',
  ];

  for (const file of files) {
    const comments = commentsOf(file.proto);
    const comment = (path) => escapePipes(comments.get(path) ?? '');
    const message = (descriptor, path) => {
      out.push(`### ${short(descriptor.typeName)}`, '', comments.get(path) ?? '', '');
      if (descriptor.fields.length > 0) {
        out.push('| field | type | rules | meaning |', '|---|---|---|---|');
        descriptor.fields.forEach((field, index) => {
          const presence = field.proto.proto3Optional ? ' (optional)' : '';
          out.push(
            `| ${field.name} | ${typeOf(field)}${presence} | ${escapePipes(rulesOf(field, rulesExtension))} | ${comment(`${path},2,${index}`)} |`,
          );
        });
        out.push('');
      }
      descriptor.nestedMessages
        .filter((nested) => !nested.proto.options?.mapEntry)
        .forEach((nested, index) => {
          message(nested, `${path},3,${index}`);
        });
    };
    out.push(`## ${file.proto.package}: ${file.name.split('/').at(-1)}.proto`, '');
    file.services.forEach((service, serviceIndex) => {
      out.push(`### ${short(service.typeName)}`, '', comments.get(`6,${serviceIndex}`) ?? '', '');
      out.push('| method | permission | cost | audit | criticality | meaning |', '|---|---|---|---|---|---|');
      service.methods.forEach((method, index) => {
        const policy = getOption(method, policyExtension);
        const stream = {
          unary: '',
          server_streaming: ' (stream out)',
          client_streaming: ' (stream in)',
          bidi_streaming: ' (stream both ways)',
        };
        out.push(
          `| ${method.name}${stream[method.methodKind]} | ${policy.public ? 'public' : `\`${policy.permission}\``} | ${costOf(policy.cost)} | ${AUDIT[policy.audit]} | ${CRITICALITY[policy.criticality]} | ${comment(`6,${serviceIndex},2,${index}`)} |`,
        );
      });
      out.push('');
    });
    file.messages.forEach((descriptor, index) => {
      message(descriptor, `4,${index}`);
    });
    file.enums.forEach((descriptor, index) => {
      out.push(
        `### ${short(descriptor.typeName)}`,
        '',
        comments.get(`5,${index}`) ?? '',
        '',
        '| value | meaning |',
        '|---|---|',
      );
      descriptor.values.forEach((value, valueIndex) => {
        out.push(`| ${value.name} | ${comment(`5,${index},2,${valueIndex}`)} |`);
      });
      out.push('');
    });
  }
  return `${out
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trimEnd()}\n`;
}
