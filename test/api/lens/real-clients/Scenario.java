import java.util.List;
import javax.ws.rs.core.Response;
import org.apache.lens.api.LensSessionHandle;
import org.apache.lens.api.query.InMemoryQueryResult;
import org.apache.lens.api.query.LensQuery;
import org.apache.lens.api.query.QueryHandle;
import org.apache.lens.api.query.QueryPlan;
import org.apache.lens.api.query.QueryPrepareHandle;
import org.apache.lens.api.query.ResultColumn;
import org.apache.lens.api.query.ResultRow;
import org.apache.lens.api.result.LensAPIResult;
import org.apache.lens.client.LensClient;
import org.apache.lens.client.LensClientConfig;
import org.apache.lens.client.LensConnection;
import org.apache.lens.client.LensConnectionParams;
import org.apache.lens.client.LensStatement;
import org.apache.lens.client.exceptions.LensAPIException;

/** What people do with the client of Apache Lens, said line by line: what was done, a tab, what came of it. */
public class Scenario {
  static final String ENDLESS = "SELECT sleep_ms(3600000) IS NULL AS slept";

  static void say(String name, Object value) {
    System.out.println(name + "\t" + String.valueOf(value).replace("\n", "\\n"));
  }

  static String rowsOf(Object result) {
    StringBuilder text = new StringBuilder();
    for (ResultRow row : ((InMemoryQueryResult) result).getRows()) text.append(row.getValues());
    return text.toString();
  }

  public static void main(String[] args) throws Exception {
    LensClientConfig conf = new LensClientConfig();
    conf.setBaseUrl(args[1]);
    conf.setUser("ada");
    conf.set(LensClientConfig.DBNAME_KEY, "main");
    conf.set("lens.client.query.poll.interval", "100");
    if (args[0].equals("all")) {
      statements(conf);
      client(conf);
    } else waits(conf, args[2]);
    System.exit(0);
  }

  static void statements(LensClientConfig conf) throws Exception {
    LensConnection connection = new LensConnection(new LensConnectionParams(conf));
    LensSessionHandle session = connection.open("secret");
    say("open", session != null && connection.isOpen());
    say("set a parameter", connection.setConnectionParams("lens.test", "value").getStatus());
    say("the parameter", connection.getConnectionParams("lens.test"));

    LensStatement statement = new LensStatement(connection);
    statement.execute("SELECT 1 AS a, 'it''s' AS b UNION ALL SELECT 2, NULL ORDER BY 1", "named");
    say("execute and wait", statement.getStatus().getStatus() + " " + statement.wasQuerySuccessful());
    StringBuilder columns = new StringBuilder();
    for (ResultColumn column : statement.getResultSetMetaData().getColumns())
      columns.append(column.getName()).append(' ').append(column.getType()).append(';');
    say("columns", columns);
    say("rows", rowsOf(statement.getResultSet()));
    Response http = statement.getHttpResultSet();
    say("rows over HTTP", http.getStatus() + " " + http.readEntity(String.class));
    LensQuery query = statement.getQuery(statement.getQuery().getQueryHandle());
    say("query", query.getUserQuery().length() + " " + query.getQueryName() + " " + query.getSubmittedUser());
    say("close the result", statement.closeResultSet());

    QueryHandle seven = statement.executeQuery("SELECT 7 AS seven", false, null).getData();
    statement.waitForQueryToComplete(seven);
    say("execute, then wait", statement.getQuery(seven).getStatus().getStatus());
    say("its rows", rowsOf(statement.getResultSet(statement.getQuery(seven))));
    say("explain", statement.explainQuery("SELECT 42").getData().getPlanString().length() > 10);

    QueryPrepareHandle prepared = statement.prepareQuery("SELECT 5 AS five", "five").getData();
    say("prepare", statement.getPreparedQuery(prepared).getUserQuery());
    QueryHandle five = statement.executeQuery(prepared, true, "run");
    say("execute the prepared", rowsOf(statement.getResultSet(statement.getQuery(five))));
    LensAPIResult<QueryPlan> both = statement.explainAndPrepare("SELECT 6", "six");
    say("explain and prepare", both.getData().getPrepareHandle() != null);
    say("all prepared", statement.getAllPreparedQueries("ada", null, -1, Long.MAX_VALUE).size());
    say("destroy the prepared", statement.destroyPrepared(prepared));
    say("all prepared then", statement.getAllPreparedQueries("ada", null, -1, Long.MAX_VALUE).size());
    List<QueryHandle> found = statement.getAllQueries("SUCCESSFUL,CLOSED", "named", "ada", null, -1, Long.MAX_VALUE);
    say("queries of this name", found.size() + " " + found.contains(query.getQueryHandle()));

    try {
      statement.executeQuery("SELEC 1", false, null);
      say("a syntax error", "none");
    } catch (LensAPIException error) {
      say("a syntax error", error.getLensAPIErrorCode() + " " + error.getLensAPIErrorMessage());
    }
    QueryHandle failing = statement.executeQuery("SELECT CAST('x' AS INTEGER)", true, null).getData();
    LensQuery failed = statement.getQuery(failing);
    say("a failure", failed.getStatus().getStatus() + " " + failed.getStatus().getErrorMessage());
    QueryHandle endless = statement.executeQuery(ENDLESS, false, null).getData();
    say("kill", statement.kill(statement.getQuery(endless)));
    statement.waitForQueryToComplete(endless);
    say("killed", statement.getQuery(endless).getStatus().getStatus());
    say("close", connection.close().getStatus());
  }

  static void client(LensClientConfig conf) throws Exception {
    LensClient client = new LensClient(conf);
    say("the client’s rows", rowsOf(client.getResults("SELECT 11 AS eleven", "eleven").getResultSet().getResult()));
    QueryHandle handle = client.executeQueryAsynch("SELECT 12 AS twelve", "twelve").getData();
    while (!client.getQueryStatus(handle).finished()) Thread.sleep(50);
    say("the client’s rows later", rowsOf(client.getAsyncResults(handle).getResultSet().getResult()));
    say("the client’s plan", client.getQueryPlan("SELECT 13").getData().getPlanString().length() > 10);
    say("the client’s close", client.closeConnection().getStatus());
  }

  /** Waits for a statement while its node is killed, and uses its session afterwards. */
  static void waits(LensClientConfig conf, String sql) throws Exception {
    LensConnection connection = new LensConnection(new LensConnectionParams(conf));
    connection.open("secret");
    connection.setConnectionParams("lens.test", "value");
    LensStatement statement = new LensStatement(connection);
    QueryHandle handle = statement.executeQuery(sql, false, "long").getData();
    say("submitted", handle.getHandleIdString());
    statement.waitForQueryToComplete(handle);
    LensQuery query = statement.getQuery(handle);
    say("ended", query.getStatus().getStatus());
    say("rows", rowsOf(statement.getResultSet(query)));
    say("the parameter", connection.getConnectionParams("lens.test"));
    say("close", connection.close().getStatus());
  }
}
