import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Asks servers of ours by HttpClient, with client certificates out of PKCS#12 key stores, and prints a line for each:
 * port, client, "status" or "error", and the answer or the class and message of the exception, separated by tabs.
 * Arguments: a folder, the password of the key stores, then a port for each server.
 */
public class Ask {
    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        char[] password = arguments[1].toCharArray();
        for (String client : new String[] {"frodo", "gollum", "stranger", "nobody"}) {
            HttpClient http = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .connectTimeout(Duration.ofSeconds(20))
                .sslContext(context(folder, client, password))
                .build();
            for (int index = 2; index < arguments.length; index++) {
                System.out.println(arguments[index] + "\t" + client + "\t" + ask(http, arguments[index]));
            }
        }
    }

    static SSLContext context(Path folder, String client, char[] password) throws Exception {
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (InputStream stream = new FileInputStream(folder.resolve("web-root.pem").toFile())) {
            trusted.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(stream));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        KeyManager[] keys = null;
        if (!client.equals("nobody")) {
            KeyStore own = KeyStore.getInstance("PKCS12");
            try (InputStream stream = new FileInputStream(folder.resolve(client + ".p12").toFile())) {
                own.load(stream, password);
            }
            KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            factory.init(own, password);
            keys = factory.getKeyManagers();
        }
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys, trust.getTrustManagers(), null);
        return context;
    }

    static String ask(HttpClient http, String port) throws InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create("https://localhost:" + port + "/"))
            .timeout(Duration.ofSeconds(20))
            .build();
        try {
            HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
            return "status\t" + response.statusCode() + " " + response.body().strip();
        } catch (IOException error) {
            return "error\t" + error.toString().replaceAll("\\s+", " ");
        }
    }
}
