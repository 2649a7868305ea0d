package interop;

import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;

import org.igniterealtime.smack.inttest.Configuration;
import org.igniterealtime.smack.inttest.SmackIntegrationTestFramework;
import org.igniterealtime.smack.inttest.SmackIntegrationTestFramework.TestRunResult;
import org.igniterealtime.smack.inttest.XmppConnectionDescriptor;
import org.igniterealtime.smack.inttest.XmppConnectionManager;
import org.jivesoftware.smack.tcp.XMPPTCPConnection;
import org.jivesoftware.smack.tcp.XMPPTCPConnectionConfiguration;

/**
 * Runs Smack's integration tests and prints one line for each test: its outcome and its name. The framework by itself knows
 * no port but 5222, and one address; here each connection takes the next of the addresses given, so that the users of a
 * test sit on different nodes of a cluster.
 */
public final class Interop {
    private final List<InetSocketAddress> addresses;
    private final AtomicInteger connections = new AtomicInteger();
    private final TreeSet<String> outcomes = new TreeSet<>();

    private Interop(List<InetSocketAddress> addresses) {
        this.addresses = addresses;
    }

    /** Arguments: addresses of the server, each as host:port. Everything else comes as properties {@code sinttest.…}. */
    public static void main(String[] arguments) throws Exception {
        Interop interop = new Interop(Arrays.stream(arguments).map(Interop::address).toList());
        interop.register();
        Configuration configuration = Configuration.newConfiguration(new String[0]);
        interop.collect(new SmackIntegrationTestFramework(configuration).run());
        interop.outcomes.forEach(System.out::println);
        // Smack's threads would keep the process alive.
        System.exit(0);
    }

    private static InetSocketAddress address(String argument) {
        int colon = argument.lastIndexOf(':');
        return new InetSocketAddress(argument.substring(0, colon), Integer.parseInt(argument.substring(colon + 1)));
    }

    /**
     * The client that the tests use, with our addresses. Smack has a second, newer one, which now and then overlooks what it
     * has read from its socket.
     */
    private void register() throws Exception {
        XmppConnectionManager.removeConnectionDescriptor("tcp");
        XmppConnectionDescriptor.Builder<
                        XMPPTCPConnection, XMPPTCPConnectionConfiguration, XMPPTCPConnectionConfiguration.Builder>
                descriptor = XmppConnectionDescriptor.buildWith(
                        XMPPTCPConnection.class,
                        XMPPTCPConnectionConfiguration.class,
                        XMPPTCPConnectionConfiguration.Builder.class);
        XmppConnectionManager.addConnectionDescriptor(
                descriptor.withNickname("tcp").applyExtraConfiguration(this::place).build());
    }

    private void place(XMPPTCPConnectionConfiguration.Builder connection) {
        InetSocketAddress address = addresses.get(connections.getAndIncrement() % addresses.size());
        connection.setHostAddress(address.getAddress()).setPort(address.getPort());
    }

    private void collect(TestRunResult result) {
        result.getSuccessfulTests().forEach(test -> outcomes.add("pass " + test.concreteTest));
        result.getFailedTests().forEach(test -> outcomes.add("fail " + test.concreteTest));
        result.getNotPossibleTests().forEach(test -> outcomes.add("skip " + test.concreteTest));
        result.getImpossibleTestClasses().forEach((test, reason) -> outcomes.add("skip " + test.getSimpleName()));
    }
}
