/** The OpenAPI document as checks: is an answer what the document promises? */
import { Compile } from 'typebox/compile'

export interface OpenApi {
  readonly paths: Record<string, Record<string, OpenApiOperation>>
  readonly components: { readonly schemas: Record<string, object> }
}

export interface OpenApiOperation {
  readonly operationId: string
  readonly parameters?: readonly { name: string; in: 'query' | 'path'; required?: boolean; schema: any }[]
  readonly requestBody?: { readonly required?: boolean; readonly content: Record<string, { schema: any }> }
  readonly responses: Record<string, { readonly content?: Record<string, { schema: any }> }>
}

/** A copy with every reference replaced by what it names. */
export function resolved(document: OpenApi, schema: any): any {
  if (Array.isArray(schema)) return schema.map(item => resolved(document, item))
  if (typeof schema !== 'object' || schema === null) return schema
  if (typeof schema.$ref === 'string') {
    const name = schema.$ref.replace('#/components/schemas/', '')
    const target = document.components.schemas[name]
    if (!target) throw new Error(`nothing is called ${schema.$ref}`)
    return resolved(document, target)
  }
  const { $id, ...rest } = schema
  return Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, resolved(document, value)]))
}

/** What an answer lacks or has too much; empty when it is as promised. */
export function faultsOfAnswer(
  document: OpenApi,
  method: string,
  path: string,
  status: number,
  contentType: string,
  body: unknown,
): string[] {
  const operation = document.paths[path]?.[method.toLowerCase()]
  if (!operation) return [`${method} ${path} is not in the document`]
  const answer = operation.responses[status] ?? operation.responses[`${Math.floor(status / 100)}XX`]
  if (!answer) return [`${method} ${path} answers ${status}, which is not in the document`]
  const mediaType = contentType.split(';', 1)[0] as string
  if (!answer.content) return body === '' ? [] : [`${method} ${path} answers ${status} with a body`]
  const schema = answer.content[mediaType]?.schema
  if (!schema) return [`${method} ${path} answers ${status} as ${mediaType}, which is not in the document`]
  return Compile(resolved(document, schema))
    .Errors(body)
    .map(fault => `${fault.instancePath}: ${fault.message} ${JSON.stringify(fault.params)}`)
}
