/** One description, two forms. */
import test from 'ava'
import { type Document, Entries, Typed, write } from '../../../src/api/lens/document.ts'

const prolog = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
const declared = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xs="http://www.w3.org/2001/XMLSchema"'

const cases: readonly { title: string; document: Document; xml: string; json: string }[] = [
  {
    title: 'members, and those that are undefined',
    document: { root: 'a', content: { b: 'x', c: 0, d: false, e: undefined, f: { g: '' } } },
    xml: '<a><b>x</b><c>0</c><d>false</d><f><g></g></f></a>',
    json: '{"a":{"b":"x","c":0,"d":false,"f":{"g":""}}}',
  },
  {
    title: 'a list repeats its name, and is left out of JSON when it is empty',
    document: { root: 'stringList', content: { elements: ['1', '2'], none: [] } },
    xml: '<stringList><elements><elements>1</elements><elements>2</elements></elements><none></none></stringList>',
    json: '{"stringList":{"elements":["1","2"]}}',
  },
  {
    title: 'types of Lens and of XML Schema, and no value at all',
    document: {
      root: 'r',
      content: { data: new Typed('queryHandle', { handleId: 'h' }), values: [new Typed('int', 1), null] },
    },
    xml: `<r${declared}><data xsi:type="queryHandle"><handleId>h</handleId></data><values><values xsi:type="xs:int">1</values><values xsi:nil="true"/></values></r>`,
    json: '{"r":{"data":{"type":"queryHandle","handleId":"h"},"values":[{"type":"int","value":1},null]}}',
  },
  {
    title: 'numbers beyond those of JavaScript',
    document: { root: 'r', content: { v: new Typed('long', '9223372036854775807'), w: new Typed('decimal', '1.20') } },
    xml: `<r${declared}><v xsi:type="xs:long">9223372036854775807</v><w xsi:type="xs:decimal">1.20</w></r>`,
    json: '{"r":{"v":{"type":"long","value":9223372036854775807},"w":{"type":"decimal","value":1.20}}}',
  },
  {
    title: 'a map',
    document: { root: 'conf', content: { properties: new Entries({ k: 'v<' }) } },
    xml: '<conf><properties><entry><key>k</key><value>v&lt;</value></entry></properties></conf>',
    json: '{"conf":{"properties":{"entry":[{"key":"k","value":"v<"}]}}}',
  },
  {
    title: 'roots in a list',
    document: { root: 'queryHandle', plural: 'queryHandles', list: [{ handleId: '1' }, { handleId: '2' }] },
    xml: '<queryHandles><queryHandle><handleId>1</handleId></queryHandle><queryHandle><handleId>2</handleId></queryHandle></queryHandles>',
    json: '[{"queryHandle":{"handleId":"1"}},{"queryHandle":{"handleId":"2"}}]',
  },
  {
    title: 'what XML cannot say',
    document: { root: 'a', content: { b: '<&>"\u0000\u001b\ufffe\t\r\n\u{1f600}\ud800' } },
    xml: '<a><b>&lt;&amp;&gt;&quot;\ufffd\ufffd\ufffd\t&#13;\n\u{1f600}\ufffd</b></a>',
    json: '{"a":{"b":"<&>\\"\\u0000\\u001b\ufffe\\t\\r\\n\u{1f600}\\ud800"}}',
  },
]

for (const { title, document, xml, json } of cases)
  test(title, t => {
    t.is(write(document, 'xml'), prolog + xml)
    t.is(write(document, 'json'), json)
  })
