import java.io.FileInputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Sends one request and prints the status or the error: URL, CA file (PEM), PKCS #12 file or "-". */
public class Refused {
    public static void main(String[] arguments) throws Exception {
        KeyStore trust = KeyStore.getInstance("PKCS12");
        trust.load(null, null);
        try (InputStream file = new FileInputStream(arguments[1])) {
            for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(file)) {
                trust.setCertificateEntry("ca", one);
            }
        }
        TrustManagerFactory managers = TrustManagerFactory.getInstance("PKIX");
        managers.init(trust);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys(arguments[2]), managers.getTrustManagers(), null);
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        try {
            HttpClient client = HttpClient.newBuilder().sslContext(context).build();
            System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
        } catch (Exception error) {
            System.out.println(error);
        }
    }

    private static KeyManager[] keys(String path) throws Exception {
        if (path.equals("-")) {
            return null;
        }
        char[] password = "changeit".toCharArray();
        KeyStore own = KeyStore.getInstance("PKCS12");
        try (InputStream file = new FileInputStream(path)) {
            own.load(file, password);
        }
        KeyManagerFactory factory = KeyManagerFactory.getInstance("PKIX");
        factory.init(own, password);
        return factory.getKeyManagers();
    }
}
